import t from 'tap';
import { hashOf } from '../../src/admin/credentials.js';
import { mainScript, run } from './run.js';

t.test('token prints a token once, and the hash of it for the main file', async (t) => {
  const { code, stdout, stderr } = await run([mainScript, 'token', 'panel', '--scope', 'write']);
  t.equal(code, 0);
  t.match(stdout, /^fc_[\w-]{43}\n$/);
  t.ok(stderr.includes(`- { name: panel, scope: write, hash: "${hashOf(stdout.trim())}" }`));
  t.notOk(stderr.includes(stdout.trim()), 'who redirects stdout keeps it off the terminal');
  const json = await run([mainScript, 'token', 'panel', '--json']);
  const made = JSON.parse(json.stdout) as { token: string; hash: string };
  t.match(made, { name: 'panel', scope: 'read', hash: hashOf(made.token) });
  t.not(made.token, stdout.trim());
});

t.test('token refuses a name or a scope that the main file would not take', async (t) => {
  t.match(await run([mainScript, 'token', 'Panel!']), { code: 2, stdout: '', stderr: /must be a name of at most 40/ });
  t.match(await run([mainScript, 'token', 'panel', '--scope', 'root']), { code: 2, stdout: '' });
});
