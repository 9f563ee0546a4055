import { once } from 'node:events';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import t, { type Test } from 'tap';
import type { AdminOptions } from '../../src/admin/admin.js';
import { hashOf } from '../../src/admin/credentials.js';
import { sendEvents, type StreamEnd, type StreamMessage } from '../../src/admin/event-stream.js';
import { StoreChanges } from '../../src/admin/store-changes.js';
import { type Message, messagesOf } from '../../src/cli/remote/sse.js';
import { systemClock } from '../../src/machine/system-clock.js';
import { RequestError } from '../../src/model/errors.js';
import type { LedgerEvent } from '../../src/model/ledger/event.js';
import { adminRecord, cmdbOf, startAdmin } from '../fixtures/admin-server.js';
import { callApi } from '../fixtures/api.js';
import { eventually } from '../fixtures/eventually.js';

const reseller = { name: 'reseller', scope: 'read', hash: hashOf('reseller'), labels: { customer: 'c1' }, images: [] };
const second = { ...reseller, name: 'second', hash: hashOf('second') };
const reader = { name: 'reader', scope: 'read', hash: hashOf('reader'), labels: {}, images: [] };
const limits = { stallMs: 300, heartbeatMs: 10_000, ageMs: 60_000 };

/** A store with a ledger that the test writes. */
async function start(t: Test, overrides: Partial<AdminOptions> = {}) {
  const events: LedgerEvent[] = [];
  const changes = new StoreChanges(systemClock);
  let isAway = false;
  let reads = 0;
  const cmdb: AdminOptions['cmdb'] = {
    ...cmdbOf(adminRecord),
    async ledger({ app, after, limit }) {
      if (isAway) throw new RequestError('cmdb_unavailable');
      if (after === 'nonsense') throw new RangeError('no id');
      const own = events.filter((event) => app === undefined || event.app === app);
      const found =
        after === undefined ? own.slice(-limit) : own.filter(({ id }) => Number(id) > Number(after)).slice(0, limit);
      const isGone = after !== undefined && after !== '0' && !(Number(own[0]?.id) <= Number(after));
      reads += 1;
      return { events: found, position: found.at(-1)?.id ?? after ?? '0', gap: isGone };
    },
  };
  const { address, admin } = await startAdmin(t, {
    ...{ cmdb, changes, tokens: () => [reseller, second, reader] as never, streamLimits: limits },
    ...overrides,
  });
  return {
    admin,
    url: `http://${address}`,
    events,
    away: (is: boolean) => (isAway = is),
    /** Has streams look once more, and waits for it. */
    async look() {
      const before = reads;
      changes.tell('all');
      await eventually(() => reads > before);
    },
    happen(id: number, more: Partial<LedgerEvent> = {}) {
      events.push({ id: String(id), at: id, app: 'shop', kind: 'ready', ...more });
      changes.tell([more.app ?? 'shop']);
    },
  };
}

async function open(t: Test, url: string, headers: Record<string, string> = {}): Promise<IncomingMessage> {
  const call = request(url, { agent: false, headers: { authorization: 'Bearer reader', ...headers } });
  t.teardown(() => call.destroy());
  call.on('error', () => {});
  call.end();
  const [response] = (await once(call, 'response')) as [IncomingMessage];
  response.on('error', () => {});
  return response;
}

async function take(messages: AsyncGenerator<Message>, count: number): Promise<Message[]> {
  const taken: Message[] = [];
  while (taken.length < count) {
    const next = await messages.next();
    if (next.done) break;
    taken.push(next.value);
  }
  return taken;
}

const ids = (messages: readonly Message[]) => messages.map(({ id, event }) => `${event} ${id ?? ''}`);

t.test('events are told page by page, and from an id on', async (t) => {
  const { url, happen } = await start(t);
  for (const id of [1, 2, 3]) happen(id);
  const ask = (path: string) => callApi(url, 'GET', path, { token: 'reader' });
  t.match((await ask('/v1/events?limit=2')).body, {
    events: [{ id: '2', at: '1970-01-01T00:00:00.002Z', app: 'shop', kind: 'ready' }, { id: '3' }],
    position: '3',
    gap: false,
  });
  t.match((await ask('/v1/apps/shop/events?after=1')).body, { events: [{ id: '2' }, { id: '3' }], position: '3' });
  t.match((await ask('/v1/events?after=nonsense')).body, { status: 400, code: 'bad_request', detail: /"nonsense"/ });
  t.match((await ask('/v1/apps/nobody/events')).body, { status: 404, code: 'unknown_app' });
});

t.test('a stream tells what was, then what happens, and goes on after the last id', async (t) => {
  const { url, happen } = await start(t);
  happen(1);
  const stream = await open(t, `${url}/v1/events?follow=true`);
  t.equal(stream.headers['content-type'], 'text/event-stream');
  const messages = messagesOf(stream);
  t.same(ids(await take(messages, 1)), ['message 1']);
  happen(2);
  happen(3, { app: 'other' });
  t.same(ids(await take(messages, 2)), ['message 2', 'message 3']);
  const again = await open(t, `${url}/v1/events?after=1`, { accept: 'text/event-stream', 'last-event-id': '2' });
  t.same(ids(await take(messagesOf(again), 1)), ['message 3'], 'the header is newer than the address');
  const own = await open(t, `${url}/v1/apps/shop/events?follow=true&limit=0`);
  const ofShop = messagesOf(own);
  t.same(ids(await take(ofShop, 1)), ['begin 2'], 'a reader that saw nothing knows where it is');
  happen(4, { app: 'other' });
  happen(5);
  t.same(ids(await take(ofShop, 1)), ['message 5']);
});

t.test('a reader that was away for too long is told that something is missing', async (t) => {
  const { url, happen } = await start(t);
  for (const id of [7, 8]) happen(id);
  const stream = await open(t, `${url}/v1/events?follow=true`, { 'last-event-id': '3' });
  t.same(ids(await take(messagesOf(stream), 3)), ['gap ', 'message 7', 'message 8']);
});

t.test('a gap is told once, though the ledger stays empty behind it, as that of a removed app does', async (t) => {
  const { url, events, happen, look } = await start(t);
  happen(1);
  const messages = messagesOf(await open(t, `${url}/v1/events?follow=true`));
  await take(messages, 1);
  events.length = 0;
  for (let times = 0; times < 3; times += 1) await look();
  happen(2);
  t.same(ids(await take(messages, 2)), ['gap ', 'message 2']);
});

t.test('a token with labels gets only what happened to its apps, by the labels that they had', async (t) => {
  const { url, happen } = await start(t);
  const labels = { customer: 'c1', plan: 'small' };
  happen(1, { labels });
  happen(2, { labels: { customer: 'c2' } });
  happen(3);
  const { body } = await callApi(url, 'GET', '/v1/events', { token: 'reseller' });
  t.match(body, { events: [{ id: '1', labels }], position: '3' });
  t.equal(body['events'].length, 1);
  t.equal((await callApi(url, 'GET', '/v1/apps/shop/events', { token: 'reseller' })).status, 404, 'it has others');
  const stream = await open(t, `${url}/v1/events`, { accept: 'text/event-stream', authorization: 'Bearer reseller' });
  const messages = messagesOf(stream);
  await take(messages, 1);
  happen(4);
  happen(5, { labels });
  t.same(ids(await take(messages, 1)), ['message 5']);
});

t.test('a stream waits while the store is away', async (t) => {
  const { url, happen, away } = await start(t);
  const stream = await open(t, `${url}/v1/events?follow=true`);
  const messages = messagesOf(stream);
  await take(messages, 1);
  away(true);
  happen(1);
  t.equal((await callApi(url, 'GET', '/v1/events?follow=true', { token: 'reader' })).status, 503);
  away(false);
  t.same(ids(await take(messages, 1)), ['message 1']);
});

t.test('a reader that takes nothing holds nothing back', async (t) => {
  const { url, events, happen } = await start(t);
  for (let id = 1; id <= 20_000; id += 1)
    events.push({ id: String(id), at: id, app: 'shop', kind: 'exited', output: 'x'.repeat(1_000) });
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  t.teardown(() => socket.destroy());
  socket.pause();
  socket.write('GET /v1/events?after=0&follow=true HTTP/1.1\r\nhost: a\r\nauthorization: Bearer reader\r\n\r\n');
  const other = messagesOf(await open(t, `${url}/v1/events?follow=true&limit=1`));
  await take(other, 1);
  happen(20_001);
  t.same(ids(await take(other, 1)), ['message 20001']);
});

/** A server that sends large messages to whoever asks. */
async function sending(t: Test, stallMs: number, messages: (response: ServerResponse) => AsyncIterable<StreamMessage>) {
  const ends: (StreamEnd | 'cut')[] = [];
  const server = createServer((_, response) => {
    const gone = new AbortController();
    response.once('close', () => {
      ends.push('cut');
      gone.abort();
    });
    const terms = { signal: gone.signal, limits: { ...limits, stallMs } };
    void sendEvents(response, messages(response), terms).then((end) => ends.push(end));
  }).listen(0, '127.0.0.1');
  t.teardown(() => server.close());
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, ends };
}

const large = { data: 'x'.repeat(4_000_000) };

t.test('a reader that takes nothing is cut off', async (t) => {
  const { port, ends } = await sending(t, limits.stallMs, async function* () {
    for (;;) yield large;
  });
  const socket = connect(port, '127.0.0.1');
  t.teardown(() => socket.destroy());
  socket.pause();
  socket.write('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  await eventually(() => ends.length === 2);
  t.same(ends, ['slow', 'cut']);
});

t.test('waiting for a slow reader, however often, leaves nothing at the answer', async (t) => {
  const listeners: number[] = [];
  const { port } = await sending(t, 60_000, async function* (response) {
    for (let count = 0; count < 20; count += 1) {
      listeners.push(response.listenerCount('close') + response.listenerCount('drain'));
      yield large;
    }
  });
  const stream = await open(t, `http://127.0.0.1:${port}`);
  stream.resume();
  await once(stream, 'end');
  t.equal(listeners.length, 20);
  t.equal(Math.max(...listeners), listeners[0]);
});

t.test('a token that may know of none of many events keeps nobody waiting while they are read', async (t) => {
  let turns = 0;
  let reads = 0;
  let turnsAtEnd = 0;
  const ledger: AdminOptions['cmdb']['ledger'] = async ({ after = '0', limit }) => {
    // As an embedded store, it answers within the turn.
    setImmediate(() => (turns += 1));
    reads += 1;
    turnsAtEnd = turns;
    const from = Number(after);
    const events = Array.from({ length: from < 5_000 ? limit : 0 }, (_, index): LedgerEvent => {
      const at = from + index + 1;
      return { id: String(at), at, app: 'shop', kind: 'ready' };
    });
    return { events, position: events.at(-1)?.id ?? after, gap: false };
  };
  const { url } = await start(t, { cmdb: { ...cmdbOf(adminRecord), ledger } });
  const asked = { authorization: 'Bearer reseller', 'last-event-id': '0' };
  await open(t, `${url}/v1/events?follow=true`, asked);
  await eventually(() => reads > 50);
  t.ok(turnsAtEnd > 40, `${turnsAtEnd} turns of others between ${reads} reads`);
});

t.test('streams end when they are old and when the server closes, and say why', async (t) => {
  const { url } = await start(t, { streamLimits: { ...limits, ageMs: 50 } });
  const old = messagesOf(await open(t, `${url}/v1/events?follow=true`));
  t.same(
    (await take(old, 9)).map(({ event, data }) => [event, data]),
    [
      ['begin', {}],
      ['end', { reason: 'age' }],
    ],
  );
  const { url: second, admin } = await start(t);
  const messages = messagesOf(await open(t, `${second}/v1/events?follow=true`));
  await take(messages, 1);
  const closing = admin.close();
  t.match(await take(messages, 9), [{ event: 'end', data: { reason: 'closing' } }]);
  await closing;
});

t.test('a token opens so many streams and no more, and closed ones count no longer', async (t) => {
  const { url } = await start(t);
  const streams = [];
  for (let count = 0; count < 20; count += 1) streams.push(await open(t, `${url}/v1/events?follow=true`));
  const refused = await callApi(url, 'GET', '/v1/events?follow=true', { token: 'reader' });
  t.match(refused.body, { status: 429, code: 'too_many_streams' });
  const other = await open(t, `${url}/v1/events?follow=true`, { authorization: 'Bearer reseller' });
  t.equal(other.statusCode, 200, 'another token may');
  t.equal((await callApi(url, 'GET', '/v1/events', { token: 'reader' })).status, 200);
  streams[0]?.destroy();
  for (;;) {
    const { statusCode } = await open(t, `${url}/v1/events?follow=true`);
    if (statusCode === 200) break;
  }
});

t.test('tokens with labels leave streams to those of operators', async (t) => {
  const { url } = await start(t);
  const follow = (token: string) => open(t, `${url}/v1/events?follow=true`, { authorization: `Bearer ${token}` });
  for (let count = 0; count < 20; count += 1) t.equal((await follow('reseller')).statusCode, 200);
  for (let count = 0; count < 10; count += 1) t.equal((await follow('second')).statusCode, 200);
  t.equal((await follow('second')).statusCode, 429);
  t.equal((await follow('reader')).statusCode, 200);
});

t.test('HEAD of a stream ends at once', async (t) => {
  const { url } = await start(t);
  const reply = await callApi(url, 'HEAD', '/v1/events?follow=true', { token: 'reader' });
  t.equal(reply.status, 200);
});
