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

It tells the public what is wrong, a detail if the request itself is at fault, and a **reference**. What to do, names and causes are in
the log: the line with the same \`reference\` has the client's address, the app, the detail and the cause. Lines are at most 10 in 10 s for
each code and app, then counted.

| code | status | meaning | what the operator can do |
|---|---|---|---|
${rows.join('\n')}
`;
}
