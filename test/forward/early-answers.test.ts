import t from 'tap';
import { install, startDaemon, until } from '../fixtures/daemon.js';
import { python, pythonMissing } from '../fixtures/python.js';
import { instances } from '../fixtures/request.js';

/** Answers as soon as a byte of a request is there, and closes in one of several ways without reading the rest. */
const app = (close: string, answer: string) => `
  const answer = ${JSON.stringify(answer)};
  require('node:net').createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => { socket.pause(); ${close} });
  }).listen(Number(process.env.PORT), process.env.HOST);`;

const closings = {
  'ends its side': 'socket.end(answer);',
  'closes without reading': 'socket.write(answer, () => socket.destroy());',
  'reads some, and closes': 'socket.write(answer); socket.resume(); setTimeout(() => socket.destroy(), 20);',
};

/** Reads nothing before it has sent everything. Prints status and body of each answer, or what failed. */
const client = `
import http.client, sys
host, port, rounds, close = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == 'close'
body = b'x' * (20 * 1024 * 1024)
for _ in range(rounds):
    connection = http.client.HTTPConnection('127.0.0.1', port, timeout=60)
    headers = {'Host': host, **({'Connection': 'close'} if close else {})}
    try:
        connection.request('POST', '/', body, headers)
        answer = connection.getresponse()
        print(answer.status, end=' ')
        print(answer.read().decode()[:80].replace('\\n', ' '))
    except Exception as error:
        print('failed', repr(error))
    connection.close()
`;

async function rounds(port: number, host: string, keep: 'close' | 'keep', count = 2): Promise<string[]> {
  return (await python(client, host, port, count, keep)).trim().split('\n');
}

const skip = (await pythonMissing()) ?? false;
if (skip) t.comment(skip);

t.test(
  'an answer that comes before the body was read reaches a client that sends all of it first',
  { skip },
  async (t) => {
    const unauthorized = 'HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno';
    const names = Object.keys(closings) as (keyof typeof closings)[];
    const apps = names.map((name, at) => [
      `app${at}`,
      { command: [process.execPath, '-e', app(closings[name], unauthorized)] },
    ]);
    const { port } = await startDaemon(t, await install(t, {}, Object.fromEntries(apps)));
    for (const [at, name] of names.entries()) {
      for (const keep of ['keep', 'close'] as const) {
        const count = name === 'closes without reading' ? 10 : 2;
        const answers = await rounds(port, `app${at}.localhost`, keep, count);
        t.same(answers, Array(count).fill('401 no'), `${name} (${keep})`);
      }
    }
  },
);

t.test('a refusal of ours reaches such a client: too large, no such domain, a boot that fails', { skip }, async (t) => {
  const { port } = await startDaemon(
    t,
    await install(
      t,
      {},
      {
        small: { maxRequestBody: '1m' },
        broken: { command: [process.execPath, '-e', 'process.exit(1)'] },
      },
    ),
  );
  const cases = { small: '413 413 payload_too_large', nobody: '404 404 unknown_domain', broken: '503 503 boot_failed' };
  for (const [name, answer] of Object.entries(cases)) {
    for (const keep of ['keep', 'close'] as const) {
      for (const line of await rounds(port, `${name}.localhost`, keep)) t.match(line, new RegExp(`^${answer}`), keep);
    }
  }
});

t.test('an answer without a length that a reset ends is not passed off as whole', { skip }, async (t) => {
  const command = [
    process.execPath,
    '-e',
    app(closings['closes without reading'], 'HTTP/1.1 401 Unauthorized\r\n\r\nno'),
  ];
  const { port } = await startDaemon(t, await install(t, {}, { hello: { command } }));
  for (const line of await rounds(port, 'hello.localhost', 'keep')) t.match(line, /^401 failed IncompleteRead\(2 /);
});

t.test('an app that closes without an answer is a 502, and no seat is left behind', { skip }, async (t) => {
  const command = [process.execPath, '-e', app(closings['closes without reading'], '')];
  const { port, admin } = await startDaemon(
    t,
    await install(t, {}, { hello: { command, concurrency: { target: 1, max: 1 } } }),
  );
  for (const line of await rounds(port, 'hello.localhost', 'keep')) t.match(line, /^502 502 upstream_reset/);
  await until(async () => (await instances(admin, 'hello')).every(({ inflight }) => inflight === 0));
});
