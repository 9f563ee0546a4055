import t, { type Test } from 'tap';
import { ClaimedBoots } from '../../src/boot/claimed-boots.js';
import { BootHosts } from '../../src/boot/boot-hosts.js';
import { WaitingRoom } from '../../src/boot/waiting-room.js';
import { Router } from '../../src/check/router.js';
import { FrameScanner } from '../../src/forward/frames.js';
import { Origin } from '../../src/forward/origin.js';
import { Transfer } from '../../src/forward/transfer.js';
import { UpstreamPool } from '../../src/forward/upstreams.js';
import { Scratch } from '../../src/runtime/process/scratch.js';
import { install, type Running, startDaemon } from '../fixtures/daemon.js';
import { eventually } from '../fixtures/eventually.js';
import { hold } from '../fixtures/held-request.js';
import { metric } from '../fixtures/metric.js';
import { sendRaw } from '../fixtures/raw.js';
import { ask, instances } from '../fixtures/request.js';
import { TestWebSocket } from '../fixtures/websocket.js';

const hello = 'hello.localhost';
/** A place that is not given back is missed by the next request. */
const onePlace = { concurrency: { target: 1, max: 1 }, scale: { max: 1 } };

/** Wrong code in the place of a method: it throws once, behind so many calls that go well. */
function plant(t: Test, owner: { readonly prototype: object }, method: string, goodCalls = 0): void {
  const { prototype } = owner;
  const original = Object.getOwnPropertyDescriptor(prototype, method) as PropertyDescriptor;
  const run = original.value as (this: unknown, ...args: unknown[]) => unknown;
  let calls = 0;
  const nothing: { readonly missing: { readonly part: unknown } }[] = [];
  Object.defineProperty(prototype, method, {
    ...original,
    value(this: unknown, ...args: unknown[]) {
      calls += 1;
      if (calls === goodCalls + 1) return (nothing[0] as { missing: { part: unknown } }).missing.part;
      return run.apply(this, args);
    },
  });
  t.teardown(() => void Object.defineProperty(prototype, method, original));
}

const cause = /^Cannot read properties of undefined \(reading 'missing'\)$/;
const stack = /defects\.test/;

/** The one line about a defect that a request met. */
function lineOf({ log }: Running, reference?: string) {
  return log.find(({ code, reference: told }) => code === 'internal_error' && (!reference || told === reference));
}

async function warm(t: Test, app: Record<string, unknown> = onePlace): Promise<Running> {
  const running = await startDaemon(t, await install(t, {}, { hello: app }));
  t.equal((await ask(running.port, hello)).status, 200);
  return running;
}

type Place = readonly [where: string, owner: { readonly prototype: object }, method: string, app: 'hello' | ''];

/** `app`: as which it is counted; none is known before it is looked up. */
const cold: readonly Place[] = [
  ['the look-up of the domain', Router, 'find', ''],
  ['the decision what to do for those who wait', BootHosts, 'of', 'hello'],
  ['the queue', WaitingRoom, 'wait', 'hello'],
  ['the claim of the boot', ClaimedBoots, 'claim', 'hello'],
  ['the runtime that boots', Scratch, 'make', 'hello'],
  ['the headers for the instance', Origin, 'append', 'hello'],
];
const served: readonly Place[] = [
  ['the look-up of what is known', Router, 'cached', ''],
  ['the headers for the instance', Origin, 'append', 'hello'],
  ['the search for a connection', UpstreamPool, 'take', 'hello'],
  ['the handling of the answer', Transfer, 'onHeaders', 'hello'],
];

for (const [state, places] of [
  ['a cold', cold],
  ['a warm', served],
] as const) {
  for (const [where, owner, method, app] of places) {
    t.test(`a defect of ours in ${where} of ${state} request is told as such, and the app serves on`, async (t) => {
      const running =
        state === 'a warm' ? await warm(t) : await startDaemon(t, await install(t, {}, { hello: onePlace }));
      const { port, admin } = running;
      plant(t, owner, method);
      const { status, headers, body } = await ask(port, hello);
      t.same([status, headers['x-fastcontainer-error']], [500, 'internal_error']);
      t.notMatch(body, /missing|undefined|defects/, 'the public learns nothing of the inside');
      const line = lineOf(running, /Reference: (\w+)/.exec(body)?.[1]);
      t.match(line, { level: 50, msg: 'request refused', cause, stack, client: '127.0.0.1' });
      t.equal(await metric(admin, `fastcontainer_errors_total{app="${app}",error="internal_error"}`), 1);
      await eventually(async () => (await ask(port, hello)).status === 200);
      await eventually(async () => (await instances(admin, 'hello')).every(({ inflight }) => inflight === 0));
    });
  }
}

t.test('a boot that a defect of the runtime ended leaves nothing behind, though no runtime said so', async (t) => {
  const { port, admin, log } = await startDaemon(t, await install(t));
  plant(t, Scratch, 'make');
  await ask(port, hello);
  await eventually(async () => (await instances(admin, 'hello')).length === 0);
  t.match(
    log.find(({ msg }) => msg === 'the boot failed'),
    { level: 50, cause, stack },
  );
  await eventually(() => log.find(({ msg }) => msg === 'terminated'));
});

t.test('what a client did wrong stays its own fault', async (t) => {
  const running = await warm(t);
  for (const head of ['GET / HTTP/1.1\r\n', `GET / HTTP/1.1\r\nHost: ${hello}\r\nHost: ${hello}\r\n`]) {
    const answer = await sendRaw(running.port, `${head}\r\n`, 2_000);
    t.match(answer, /^HTTP\/1\.1 400 .*x-fastcontainer-error: bad_request\r\n/s);
  }
  t.equal(lineOf(running), undefined);
});

t.test('a defect behind the beginning of an answer breaks it off, with its cause in the log', async (t) => {
  const running = await warm(t);
  const { port, admin } = running;
  plant(t, Transfer, 'onData', 3);
  await t.rejects(ask(port, hello, '/download'));
  t.match(await eventually(() => lineOf(running)), {
    level: 50,
    msg: 'request broken off',
    app: 'hello',
    cause,
    stack,
  });
  t.equal(await metric(admin, 'fastcontainer_errors_total{app="hello",error="internal_error"}'), 1);
  t.equal((await ask(port, hello)).status, 200, 'its place is free again');
});

t.test('so does one on a WebSocket, and one before it stands is an answer', async (t) => {
  const running = await warm(t);
  const { port } = running;
  plant(t, Origin, 'append');
  const refused = (await TestWebSocket.open(port, hello).then(
    () => 'switched',
    (error: Error) => error.message,
  )) as string;
  t.match(refused, /^HTTP\/1\.1 500 .*x-fastcontainer-error: internal_error\r\n/s);
  t.match(lineOf(running), { msg: 'request refused', cause, stack });
  const socket = await TestWebSocket.open(port, hello);
  plant(t, FrameScanner, 'scan');
  socket.send('a frame');
  await eventually(() => socket.ended);
  t.match(
    running.log.find(({ msg }) => msg === 'request broken off'),
    { level: 50, code: 'internal_error', cause, stack },
  );
  t.equal((await ask(port, hello)).status, 200, 'its place is free again');
});

t.test('a request that has its place is served though the decision to scale fails', async (t) => {
  const running = await warm(t, { concurrency: { target: 1, max: 4 }, scale: { max: 2 } });
  const { port, admin, log } = running;
  const held = hold(port, hello);
  t.equal(await held.status, 200);
  plant(t, BootHosts, 'of');
  t.equal((await ask(port, hello)).status, 200);
  t.match(
    log.find(({ level }) => level === 50),
    { msg: 'could not use or boot an instance', app: 'hello', err: { message: cause } },
  );
  await eventually(async () => (await instances(admin, 'hello'))[0]?.inflight === 1);
  await eventually(async () => {
    await ask(port, hello);
    return (await instances(admin, 'hello')).length === 2;
  });
  held.end();
});

t.test(
  'a request ends whatever fails for those who wait for its place, and they are served all the same',
  async (t) => {
    const { port } = await warm(t);
    const held = hold(port, hello);
    t.equal(await held.status, 200);
    const waiting = ask(port, hello);
    await eventually(
      async () => (await ask(port, hello, '/', { headers: { host: 'nobody.localhost' } })).status === 404,
    );
    plant(t, WaitingRoom, 'serve');
    held.end();
    t.equal((await waiting).status, 200);
    t.equal((await ask(port, hello)).status, 200);
  },
);
