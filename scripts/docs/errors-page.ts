import { errorTable } from '../../src/model/errors.js';

/** docs/errors.md: every answer that is not the app's. */
export function errorsPage(): string {
  const rows = Object.entries(errorTable).map(
    ([code, { status, title, remedy }]) => `| \`${code}\` | ${status} | ${title} | ${remedy} |`,
  );
  return `# Errors

<!-- Generated from src/model/errors.ts by \`npm run docs\`; do not edit. -->

A response that did not come from the app carries the header \`x-fastcontainer-error: CODE\`. Its body follows the
\`Accept\` header of the request: \`application/problem+json\`, HTML or plain text. Every 503 carries \`Retry-After\`.
The log line of the request names the app and the cause.

| code | status | meaning | what to do |
|---|---|---|---|
${rows.join('\n')}
`;
}
