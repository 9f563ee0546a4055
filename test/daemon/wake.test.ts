import { once } from 'node:events';
import { connect } from 'node:net';
import t from 'tap';
import { install, startDaemon, until } from '../fixtures/daemon.js';
import { metric } from '../fixtures/metric.js';
import { ask, instances } from '../fixtures/request.js';

const hello = 'hello.localhost';
const bot = { headers: { 'user-agent': 'Mozilla/5.0 (compatible; GPTBot/1.2; +https://openai.com/gptbot)' } };
const person = { headers: { 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0' } };
const robots = 'User-agent: *\nDisallow: /cart\n';

const wake = {
  rules: [
    { name: 'robots', path: '/robots.txt', asleep: { status: 200, body: robots } },
    { name: 'feed', path: '/feed', wakes: true },
    'bots',
  ],
};

t.test('a bot does not wake the app, a person does, and then the bot is served', async (t) => {
  const { port, admin, log } = await startDaemon(t, await install(t, { wake }));
  const refused = await ask(port, hello, '/', bot);
  t.match(refused, { status: 503, headers: { 'x-fastcontainer-error': 'wake_denied', 'retry-after': '600' } });
  t.notMatch(
    `${JSON.stringify(refused.headers)}${refused.body}`,
    /bots|rule/,
    'which rule it was is not for the client',
  );
  const reference = /Reference: (\w+)/.exec(refused.body)?.[1];
  t.match(
    log.find((line) => line['reference'] === reference),
    { level: 30, code: 'wake_denied', app: 'hello', cause: 'wake rule bots' },
    'but for the log',
  );
  t.match(await ask(port, hello, '/robots.txt'), {
    status: 200,
    body: robots,
    headers: { 'content-type': 'text/plain; charset=utf-8', 'cache-control': 'no-store' },
  });
  t.match(await ask(port, hello, '/robots.txt', { method: 'HEAD' }), { status: 200, body: '' });
  t.match(await ask(port, hello, '/upload', { ...bot, method: 'POST', body: 'x'.repeat(100_000) }), { status: 503 });
  const socket = connect(port, '127.0.0.1');
  socket.write(
    `GET / HTTP/1.1\r\nHost: ${hello}\r\nUser-Agent: GPTBot\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
  );
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  t.match(bytes.toString('latin1'), /^HTTP\/1\.1 503 .*x-fastcontainer-error: wake_denied\r\n/s);
  socket.destroy();
  t.same(await instances(admin, 'hello'), []);
  t.notOk(log.some(({ msg }) => msg === 'booting'));

  t.equal((await ask(port, hello, '/', person)).status, 200);
  t.equal((await ask(port, hello, '/', bot)).status, 200);
  t.notSame((await ask(port, hello, '/robots.txt')).body, robots, 'that of the app, which runs');
  const verdicts = (rule: string, verdict: string) =>
    metric(admin, `fastcontainer_wake_verdicts_total{rule="${rule}",verdict="${verdict}"}`);
  t.equal(await verdicts('bots', 'denied'), 3);
  t.equal(await verdicts('bots', 'uncounted'), 1);
  t.equal(await verdicts('robots', 'denied'), 2);
});

t.test('an app that only bots visit falls asleep, and no request of theirs fails until then', async (t) => {
  const { port, admin, log } = await startDaemon(t, await install(t, { wake }, { hello: { idleTtl: '1s' } }));
  t.equal((await ask(port, hello, '/', person)).status, 200);
  const answers: string[] = [];
  await until(async () => {
    const { status, headers } = await ask(port, hello, '/', bot);
    answers.push(`${status} ${String(headers['x-fastcontainer-error'] ?? '')}`);
    return status !== 200;
  });
  await until(async () => (await instances(admin, 'hello')).length === 0);
  for (let more = 0; more < 3; more += 1) t.equal((await ask(port, hello, '/', bot)).status, 503);
  t.strictSame(
    answers.filter((answer) => answer !== '200 '),
    ['503 wake_denied'],
  );
  t.equal(log.filter(({ msg }) => msg === 'booting').length, 1);
  t.equal((await ask(port, hello, '/feed', bot)).status, 200, 'a rule before it says that this one may');
});

t.test(
  'an app is woken as often as its budget allows, and rules of its file replace those of the main file',
  async (t) => {
    const apps = { hello: { idleTtl: '1s', wake: { rules: [], budget: { perApp: '1/d' } } } };
    const { port, admin } = await startDaemon(t, await install(t, { wake }, apps));
    t.equal((await ask(port, hello, '/', bot)).status, 200);
    await until(async () => (await instances(admin, 'hello')).length === 0);
    const refused = await ask(port, hello, '/', person);
    t.match(refused, { status: 503, headers: { 'x-fastcontainer-error': 'wake_denied' } });
    t.ok(Number(refused.headers['retry-after']) > 80_000);
  },
);
