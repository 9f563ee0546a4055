import { apiErrorTable } from '../../src/admin/api-error.js';
import { errorTable } from '../../src/model/errors.js';

/** docs/errors.md: every answer that is not the app's, and every refusal of the admin API. */
export function errorsPage(): string {
  return `# Errors

<!-- Generated from src/model/errors.ts and src/admin/api-error.ts by \`npm run docs\`; do not edit. -->

A response that did not come from the app carries the header \`x-fastcontainer-error: CODE\`. Its body follows the
\`Accept\` header of the request: \`application/problem+json\`, HTML or plain text. Every 503 carries \`Retry-After\`.

It tells the public what is wrong, a detail if the request itself is at fault, and a **reference**. What to do, names and causes are in
the log: the line with the same \`reference\` has the client's address, the app, the detail and the cause. Lines are at most 10 in 10 s for
each code and app, then counted.

| code | status | meaning | what the operator can do |
|---|---|---|---|
${rowsOf(errorTable)}

## The admin API

It refuses with \`application/problem+json\`: \`status\`, \`code\`, \`title\`, a \`detail\`, and what the caller can do as \`remedy\`
([api.md](api.md)).

| code | status | meaning | what the caller can do |
|---|---|---|---|
${rowsOf(apiErrorTable)}
`;
}

interface Row {
  readonly status: number;
  readonly title: string;
  readonly remedy: string;
}

function rowsOf(table: Readonly<Record<string, Row>>): string {
  return Object.entries(table)
    .map(([code, { status, title, remedy }]) => `| \`${code}\` | ${status} | ${title} | ${remedy} |`)
    .join('\n');
}
