import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createServer as createSocketServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { stringify } from 'yaml';
import { hashOf } from '../../../src/admin/credentials.js';
import { adminTarget, type TargetOptions } from '../../../src/cli/remote/admin-target.js';
import { ApiClient } from '../../../src/cli/remote/api-client.js';
import { app } from '../../../src/cli/remote/app.js';
import { apps } from '../../../src/cli/remote/apps.js';
import { events } from '../../../src/cli/remote/events.js';
import { instances } from '../../../src/cli/remote/instances.js';
import { maintenance } from '../../../src/cli/remote/maintenance.js';
import { nodes } from '../../../src/cli/remote/nodes.js';
import { operate, type Operation } from '../../../src/cli/remote/operate.js';
import { put } from '../../../src/cli/remote/put.js';
import { why } from '../../../src/cli/remote/why.js';
import { usage } from '../../../src/cli/remote/usage.js';
import { rm as remove } from '../../../src/cli/remote/rm.js';
import { webDocument } from '../../fixtures/api.js';
import { install, startDaemon } from '../../fixtures/daemon.js';
import { eventually } from '../../fixtures/eventually.js';
import { ask, askIdentity } from '../../fixtures/request.js';
import { mainScript, run } from '../run.js';

/** A screen that keeps what is written. */
function screenOf() {
  const shown = { out: '', err: '' };
  return {
    shown,
    screen: {
      out: (text: string) => void (shown.out += text),
      err: (text: string) => void (shown.err += text),
      style: (_style: string, text: string) => text,
      now: Date.now,
    },
  };
}

const putDefaults = { json: false, dryRun: false, ifAbsent: false };

t.test('the life of an app by the command', async (t) => {
  const reader = 'a-token-that-only-reads';
  const socket = join(await directory(t), 'admin.sock');
  const tokens = [{ name: 'reader', scope: 'read', hash: hashOf(reader) }];
  const installation = await install(t, { admin: { listen: `unix:${socket}`, tokens } });
  const { port } = await startDaemon(t, installation);
  const clientWith = (options: TargetOptions) => new ApiClient(adminTarget(options, {}));
  const client = clientWith({ config: installation.file });
  const file = join(installation.dir, 'shop.yaml');
  const write = (document: unknown) => writeFile(file, typeof document === 'string' ? document : stringify(document));
  const said = async (work: (screen: ReturnType<typeof screenOf>['screen']) => Promise<void>) => {
    const { screen, shown } = screenOf();
    await work(screen);
    return shown;
  };

  await t.test('put shows the difference first, then makes the app', async (t) => {
    await write({ name: 'shop', ...webDocument('shop.localhost', { env: { PRICE: '$5 ${X}' } }) });
    const dry = await said((screen) => put(client, screen, { ...putDefaults, file, dryRun: true }));
    t.equal(dry.out, 'app shop would be added\nnothing was changed (--dry-run)\n');
    t.match(dry.err, /warning: app shop: \$\{…\} is sent as it is/);
    await t.rejects(
      said((screen) => app(client, screen, { name: 'shop', json: false, effective: false })),
      { exitCode: 5, message: 'There is no app shop' },
    );
    t.equal((await said((screen) => put(client, screen, { ...putDefaults, file }))).out, 'app shop added\n');
    t.equal(
      (await said((screen) => put(client, screen, { ...putDefaults, file }))).out,
      'app shop: nothing to change\n',
    );
  });

  await t.test('apps, app and instances show it', async (t) => {
    await askIdentity(port, 'shop.localhost');
    const list = await said((screen) => apps(client, screen, { json: false, text: 'shop' }));
    t.match(list.out, /^NAME +STATE.*\nshop +ready +1 ready +process +shop\.localhost\n$/);
    const [one] = JSON.parse((await said((screen) => apps(client, screen, { json: true, text: 'shop' }))).out);
    t.match(one, { name: 'shop', state: 'ready', instances: { ready: 1 } });
    const whole = await said((screen) => app(client, screen, { name: 'shop', json: false, effective: false }));
    t.match(whole.out, /source +API, by socket at/);
    t.match(whole.out, /\nshop-[0-9a-f]+ +shop +ready/);
    t.match(whole.out, /# as written\nname: shop\n/);
    const running = await said((screen) => instances(client, screen, { json: true, app: 'shop' }));
    t.equal(JSON.parse(running.out).length, 1);
  });

  await t.test('stop, boot, restart and drain do so, and say what is', async (t) => {
    const operated = (operation: Operation, more = {}) =>
      said((screen) => operate(client, screen, { name: 'shop', operation, json: false, wait: true, ...more }));
    t.equal((await operated('stop')).out, 'app shop: asleep\n');
    t.equal((await operated('boot')).out, 'app shop: ready\n');
    t.match(JSON.parse((await operated('restart', { json: true })).out), { name: 'shop', done: true });
    t.match((await operated('drain')).out, /^app shop: /);
    t.equal((await operated('boot')).out, 'app shop: ready\n');
    await t.rejects(operated('boot', { name: 'nobody' }), { exitCode: 5, message: 'There is no app nobody' });
  });

  await t.test('usage tells what it used, as a table, JSON and CSV', async (t) => {
    const told = (more = {}) =>
      said((screen) => usage(client, screen, { json: false, csv: false, app: 'shop', ...more }));
    const today = new Date().toISOString().slice(0, 10);
    t.match((await told()).out, /^APP +DAY +RUNNING +BOOTS\nshop +\d{4}-\d\d-\d\d +\d+\.\ds +[1-9]/);
    t.match(JSON.parse((await told({ json: true })).out).at(-1), { app: 'shop', boots: { operator: Number } });
    t.match((await told({ csv: true })).out, /^app,day,labels,.*\r\nshop,\d{4}-\d\d-\d\d,,[\d.]+,.*operator=\d.*\r\n$/);
    t.match(await told({ app: 'nobody' }), { out: '', err: 'nothing was used\n' });
    await t.rejects(told({ from: 'yesterday' }), { exitCode: 7, message: 'from' });
    await t.rejects(told({ from: '2999-01-01', to: today }), { exitCode: 7, message: 'is after' });
  });

  await t.test('maintenance answers in the place of the app until it is left to the app again', async (t) => {
    const told = (more: { mode?: string; text?: string } = {}) =>
      said((screen) => maintenance(client, screen, { name: 'shop', json: true, ...more }));
    t.same(JSON.parse((await told()).out), { name: 'shop', maintenance: { mode: 'off' } });
    const page = { mode: 'page', text: 'Back at noon' };
    t.match(JSON.parse((await told(page)).out), { maintenance: { ...page, source: 'operator', token: 'socket' } });
    const answer = await ask(port, 'shop.localhost');
    t.match(answer, { status: 503, body: /Back at noon/ });
    await t.rejects(told({ mode: 'never' }), { exitCode: 7, message: 'mode' });
    t.match(JSON.parse((await told({ mode: 'app' })).out), { maintenance: { mode: 'off', source: 'app' } });
    t.equal((await askIdentity(port, 'shop.localhost')).greeting, 'hello');
    const lines = (await said((screen) => nodes(client, screen, { json: false }))).out.split('\n');
    t.match(lines, [/^NODE +HOST +STATE/, /alive/, '']);
  });

  await t.test('events tell who woke it, who ended it, and what it wrote before it died', async (t) => {
    const tell = (more = {}) =>
      said((screen) => events(client, screen, { app: 'shop', follow: false, limit: '1000', json: true, ...more }));
    const eventsOf = async () =>
      (await tell()).out
        .trimEnd()
        .split('\n')
        .map((line): Record<string, unknown> => JSON.parse(line));
    t.match((await tell({ json: false })).out, /booting {6}shop-\w+ {2}\(operator\), by socket, on /);
    const has = (all: readonly Record<string, unknown>[], kind: string, cause: string, by?: string) =>
      t.ok(
        all.some((event) => event['kind'] === kind && event['cause'] === cause && event['by'] === by),
        `${kind} ${cause}`,
      );
    has(await eventsOf(), 'booting', 'operator', 'socket');
    await operate(client, screenOf().screen, { name: 'shop', operation: 'stop', json: false, wait: true });
    await ask(port, 'shop.localhost', '/?secret', { headers: { 'User-Agent': 'Googlebot/2.1' } });
    await ask(port, 'shop.localhost', '/die', { method: 'POST' }).catch(() => {});
    const died = await eventually(async () => {
      const all = await eventsOf();
      return all.at(-1)?.['kind'] === 'exited' ? all : undefined;
    }).then((all) => all ?? []);
    t.match(died.slice(-3), [
      {
        ...{ kind: 'booting', cause: 'request' },
        request: { host: 'shop.localhost', method: 'GET', path: '/', agent: 'bot', client: '127.0.0.0/24' },
      },
      { kind: 'ready', bootMs: Number },
      { kind: 'exited', message: 'signal SIGKILL', readyAt: String },
    ]);
    t.notMatch(JSON.stringify(died), /secret/);
    t.ok(
      died.some((event) => event['kind'] === 'draining' && event['cause'] === 'stopped' && event['by'] === 'socket'),
    );
    has(died, 'draining', 'stopped', 'socket');
    has(died, 'maintenance', 'page', 'socket');
    const asleep = await said((screen) => why(client, screen, { name: 'shop', json: false }));
    t.match(asleep.out, /^App shop ended by itself soon after it was ready: signal SIGKILL; .*\nlast failure /);
    await askIdentity(port, 'shop.localhost');
    const awake = JSON.parse((await said((screen) => why(client, screen, { name: 'shop', json: true }))).out);
    t.match(awake, {
      ...{ state: 'ready', keptBy: ['idle_ttl'], wokenBy: { path: '/' } },
      sentence:
        /GET shop\.localhost\/ by a client without a user agent in 127\.0\.0\.0\/24 woke it; the last activity was at /,
    });
    t.ok(Date.parse(awake.sleepsAt) > Date.now());
    const nobody = said((screen) => events(client, screen, { app: 'no', follow: true, limit: '1', json: true }));
    await t.rejects(nobody, { exitCode: 5, message: 'There is no app no' });
  });

  await t.test('a file that is at fault is told with its lines, JSON too', async (t) => {
    await write(
      'name: shop\ndomains: [shop.localhost]\nruntime: process\ncommand: [x]\nscale:\n  max: none\nidleTtl: 0x\n',
    );
    await t.rejects(
      said((screen) => put(client, screen, { ...putDefaults, file })),
      {
        exitCode: 7,
        message: /shop\.yaml:6 scale\.max: must be a whole number.*\n.*shop\.yaml:7 idleTtl: /,
      },
    );
    await write('{\n\t"name": "shop",\n\t"domains": ["shop.localhost"],\n\t"runtime": "proces"\n}\n');
    await t.rejects(
      said((screen) => put(client, screen, { ...putDefaults, file })),
      { exitCode: 7, message: /:4 runtime: / },
    );
    await write('domains: [x.localhost]\n');
    await t.rejects(
      said((screen) => put(client, screen, { ...putDefaults, file })),
      { message: /:1 name: is missing/ },
    );
    await write('a: [\n');
    await t.rejects(
      said((screen) => put(client, screen, { ...putDefaults, file })),
      { exitCode: 7, message: /not valid YAML/ },
    );
  });

  await t.test('of several apps in a file, those before a fault are put, and the message says so', async (t) => {
    const more = (name: string, keys = {}) => stringify({ name, ...webDocument(`${name}.localhost`, keys) });
    await write([more('one'), more('two', { plan: 'none' })].join('---\n'));
    const lines = more('one').split('\n').length;
    const failure = await said((screen) => put(client, screen, { ...putDefaults, file })).catch(
      (error: unknown) => error,
    );
    const { message } = failure as Error;
    t.match(message, /shop\.yaml:\d+ plan: [^\n]*\n1 app before it in the file was put$/);
    t.ok(Number(/shop\.yaml:(\d+)/.exec(message)?.[1]) > lines, 'the line is that of the second document');
    t.equal((await said((screen) => apps(client, screen, { json: false, text: 'one' }))).out.split('\n').length, 3);
  });

  await t.test('writes that do not fit what is there are refused with code 6', async (t) => {
    await write({ name: 'hello', ...webDocument('hello.localhost') });
    await t.rejects(
      said((screen) => put(client, screen, { ...putDefaults, file })),
      {
        exitCode: 6,
        message: /app hello: App hello stands in .*hello\.yaml/,
      },
    );
    await write({ name: 'one', ...webDocument('one.localhost', { idleTtl: '1m' }) });
    for (const more of [{ ifAbsent: true }, { ifMatch: '"old"' }])
      await t.rejects(
        said((screen) => put(client, screen, { ...putDefaults, file, ...more })),
        { exitCode: 6, message: 'is not as If-Match' },
      );
    const { etag } = JSON.parse(
      (await said((screen) => app(client, screen, { name: 'one', json: true, effective: false }))).out,
    );
    const { out } = await said((screen) => put(client, screen, { ...putDefaults, file, ifMatch: etag }));
    t.equal(out, 'app one: idleTtl 10m -> 1m\n');
  });

  await t.test('a token that only reads may look, and is told what it lacks', async (t) => {
    const other = clientWith({ url: `unix:${socket}`, token: reader });
    t.match((await said((screen) => apps(other, screen, { json: false }))).out, /shop/);
    await t.rejects(
      said((screen) => remove(other, screen, { name: 'shop', json: false, dryRun: false })),
      {
        exitCode: 4,
        message: /needs the scope write; the token reader has read\. Use a token with the scope/,
      },
    );
    const unknown = clientWith({ url: `unix:${socket}`, token: 'x' });
    await t.rejects(
      said((screen) => apps(unknown, screen, { json: false })),
      {
        exitCode: 4,
        message: /The daemon does not know the token that was sent/,
      },
    );
  });

  await t.test('the command itself finds the socket by its main file, and ends with the code', async (t) => {
    const ended = await run([mainScript, 'rm', 'shop', '--json', '-c', installation.file]);
    t.match({ ...ended, body: JSON.parse(ended.stdout) }, { code: 0, stderr: '', body: { name: 'shop' } });
    const gone = await run([mainScript, 'app', 'shop', '-c', installation.file]);
    t.match(gone, { code: 5, stdout: '', stderr: /^fastcontainer: There is no app shop\. Check the name/ });
  });
});

t.test('a list is read to its last page', async (t) => {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://x');
    asked.push(`${url.pathname}${url.search}`);
    const from = Number(url.searchParams.get('after') ?? 0);
    if (from < 4) response.setHeader('link', `</v1/apps?label=a&after=${from + 2}>; rel="next"`);
    response.end(JSON.stringify([{ name: `app-${from}` }, { name: `app-${from + 1}` }]));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  const { screen, shown } = screenOf();
  await apps(new ApiClient(adminTarget({ url }, {})), screen, { json: true, label: ['a', 'b=c'] });
  t.same(
    (JSON.parse(shown.out) as { name: string }[]).map(({ name }) => name),
    [0, 1, 2, 3, 4, 5].map((n) => `app-${n}`),
  );
  t.same(asked, ['/v1/apps?label=a&label=b%3Dc', '/v1/apps?label=a&after=2', '/v1/apps?label=a&after=4']);
});

async function directory(t: Test): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'fastcontainer-cli-'));
  t.teardown(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

t.test('without a daemon the command says which place it tried', async (t) => {
  const dir = await directory(t);
  const none = join(dir, 'none.sock');
  const { screen } = screenOf();
  const ask = (url: string) => apps(new ApiClient(adminTarget({ url }, {})), screen, { json: false });
  await t.rejects(ask(`unix:${none}`), { exitCode: 3, message: `there is no socket ${none}: is the daemon running` });
  const main = join(dir, 'main.yaml');
  await writeFile(main, `stateDir: ${dir}/state\n`);
  const ofFile = apps(new ApiClient(adminTarget({ config: main }, {})), screen, { json: false });
  await t.rejects(ofFile, {
    message: /no socket .*\/state\/admin\.sock: .*with this main file\?.*\(admin\.listen of .*main\.yaml\)/,
  });
  await t.rejects(ask('http://127.0.0.1:1'), { exitCode: 3, message: /nothing listens on http:\/\/127\.0\.0\.1:1/ });
});

t.test('what a daemon says of an operation is printable, whoever it is', async (t) => {
  const path = join(await directory(t), 'odd.sock');
  const body = JSON.stringify({ state: '\u001b]0;x\u0007\r\nforged', done: true });
  const server = createServer((_, response) => response.end(body)).listen(path);
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { screen, shown } = screenOf();
  const client = new ApiClient(adminTarget({ url: `unix:${path}` }, {}));
  await operate(client, screen, { name: 'a\u001b[31m', operation: 'stop', json: false, wait: true });
  // oxlint-disable-next-line no-control-regex
  t.match(shown.out, /^[^\u0000-\u0009\u000b-\u001f]+\n$/);
});

t.test('what answers in another form, or breaks off, is not taken for an answer', async (t) => {
  const dir = await directory(t);
  const odd = JSON.stringify({ code: 'c', detail: 'd', remedy: 'r', problems: [null, { path: 5 }] });
  const answers = [
    'HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello',
    'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n[',
    'HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n[null]',
    `HTTP/1.1 422 X\r\ncontent-length: ${odd.length}\r\n\r\n${odd}`,
    'SSH-2.0-x\r\n',
  ];
  for (const [index, answer] of answers.entries()) {
    const path = join(dir, `${index}.sock`);
    const server = createSocketServer((socket) => socket.on('error', () => {}).end(answer)).listen(path);
    await once(server, 'listening');
    t.teardown(() => server.close());
    const { screen, shown } = screenOf();
    const asked = apps(new ApiClient(adminTarget({ url: `unix:${path}` }, {})), screen, { json: true });
    await t.rejects(asked, { name: 'Failure' }, answer);
    t.equal(shown.out, '');
  }
});
