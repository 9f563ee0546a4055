import { randomBytes } from 'node:crypto';
import { hashOf } from '../admin/credentials.js';
import { nameExpects, namePattern } from '../model/app-keys.js';

export interface TokenOptions {
  readonly name: string;
  readonly scope: string;
  readonly json: boolean;
}

/** Makes a token of the admin API: prints it once, and what the main file gets. Gives the exit code; stores nothing. */
export function token({ name, scope, json }: TokenOptions): 0 | 2 {
  if (!new RegExp(namePattern).test(name)) {
    process.stderr.write(`the name of a token must be ${nameExpects}\n`);
    return 2;
  }
  const made = `fc_${randomBytes(32).toString('base64url')}`;
  const hash = hashOf(made);
  if (json) {
    process.stdout.write(`${JSON.stringify({ name, scope, token: made, hash })}\n`);
    return 0;
  }
  process.stdout.write(`${made}\n`);
  process.stderr.write(
    `This is the token of ${name}; it is not shown again. In the main file, below admin.tokens:\n` +
      `  - { name: ${name}, scope: ${scope}, hash: "${hash}" }\n`,
  );
  return 0;
}
