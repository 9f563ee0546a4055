import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { adminTarget, isTokenExposed } from '../../../src/cli/remote/admin-target.js';
import { usualMainFile } from '../../../src/cli/usual-files.js';
import { exampleFile } from '../../../src/cli/package-directory.js';

async function mainFile(t: Test, text: string): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'fastcontainer-target-'));
  t.teardown(() => rm(dir, { recursive: true, force: true }));
  const file = join(dir, 'fastcontainer.yaml');
  await writeFile(file, text);
  return file;
}

t.test(
  'the socket is that of the main file, whatever else in it needs variables that only the daemon has',
  async (t) => {
    const config = await mainFile(
      t,
      'cmdb: redis://:${SECRET_OF_DAEMON}@h/0\nadmin: { listen: unix:/run/fc/admin.sock }\n',
    );
    t.match(adminTarget({ config }, {}), {
      at: { socketPath: '/run/fc/admin.sock' },
      isOfFile: true,
      token: undefined,
    });
    const other = await mainFile(t, 'stateDir: ${WHERE}\n');
    t.match(adminTarget({ config: other }, { WHERE: '/var/lib/fc' }), { at: { socketPath: '/var/lib/fc/admin.sock' } });
    t.throws(() => adminTarget({ config: other }, {}), { exitCode: 1, message: /:1 stateDir: .*WHERE is not set/ });
  },
);

t.test('an address of the main file is reached on this machine, with its token', async (t) => {
  const config = await mainFile(t, 'admin: { listen: "0.0.0.0:8081", token: "${ADMIN_TOKEN}" }\n');
  const { at, token } = adminTarget({ config }, { ADMIN_TOKEN: 'of-the-daemon' });
  t.equal('url' in at && at.url.href, 'http://127.0.0.1:8081/');
  t.equal(token, 'of-the-daemon');
  t.equal(adminTarget({ config }, {}).token, undefined, 'a token that this shell does not have is no fault');
  t.equal(adminTarget({ config, token: 'mine' }, { ADMIN_TOKEN: 'of-the-daemon' }).token, 'mine');
});

t.test('options go before the environment, and that before the usual files', async (t) => {
  const env = { FASTCONTAINER_URL: 'https://one.example', FASTCONTAINER_TOKEN: 'from-env' };
  const config = await mainFile(t, 'admin: { listen: unix:/x.sock }\n');
  const hrefOf = (target: ReturnType<typeof adminTarget>) =>
    'url' in target.at ? target.at.url.href : target.at.socketPath;
  t.equal(hrefOf(adminTarget({ url: 'https://two.example:8443' }, env)), 'https://two.example:8443/');
  t.equal(hrefOf(adminTarget({ config }, env)), '/x.sock');
  t.match(adminTarget({}, env), { source: 'FASTCONTAINER_URL', token: 'from-env' });
  const tokenFile = await mainFile(t, 'from-file\n');
  t.equal(adminTarget({ tokenFile }, env).token, 'from-file');
});

const refused: [title: string, options: Parameters<typeof adminTarget>[0], message: RegExp][] = [
  ['no address', { url: 'panel' }, /--url must be an address, such as/],
  ['a path', { url: 'https://panel.example/v1/apps' }, /without a user, a path and a query/],
  ['a password', { url: 'https://a:b@panel.example' }, /without a user/],
  ['another scheme', { url: 'file:///etc/passwd' }, /must be an address/],
  ['two tokens', { url: 'http://localhost', token: 'a', tokenFile: 'b' }, /not both/],
  ['a token of several lines', { url: 'http://localhost', token: 'a\r\nx: y' }, /one word of visible ASCII/],
  ['a file that is not there', { url: 'http://localhost', tokenFile: '/nowhere/token' }, /--token-file: ENOENT/],
];

for (const [title, options, message] of refused)
  t.test(`${title} is refused before anything is sent`, async (t) => {
    t.throws(() => adminTarget(options, {}), { exitCode: 2, message });
  });

t.test('a token over plain HTTP is told of, except on this machine', async (t) => {
  const exposed = (url: string) => isTokenExposed(adminTarget({ url, token: 'secret' }, {}));
  t.ok(exposed('http://10.0.0.5:8081'));
  for (const url of ['https://10.0.0.5', 'http://127.0.0.1:1', 'http://[::1]:1', 'http://localhost:1', 'unix:/x'])
    t.notOk(exposed(url), url);
});

t.test('the first usual file that is there is taken, and none that others can change', async (t) => {
  const file = await mainFile(t, 'workers: 1\n');
  t.equal(usualMainFile(['/nowhere/a.yaml', file]), file);
  t.equal(usualMainFile(['/nowhere/a.yaml']), exampleFile);
  await chmod(file, 0o666);
  t.throws(() => usualMainFile([file]), {
    exitCode: 1,
    message: /is not taken by itself: .*everybody may write to it/,
  });
});
