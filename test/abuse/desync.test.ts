import { Agent } from 'node:http';
import type { Socket } from 'node:net';
import t, { type Test } from 'tap';
import { eventually } from '../fixtures/eventually.js';
import { evil, good, hostileUpstream, type Misdeed } from '../fixtures/hostile-upstream.js';
import { rawUpstream } from '../fixtures/raw.js';
import { startRelay } from '../fixtures/relay.js';
import { ask } from '../fixtures/request.js';

/** What an app may send beyond its one answer. */
const strays: Record<string, string> = {
  'a second answer': evil,
  'the beginning of a second answer': 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX: ',
  'a second header without its body': 'HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n',
  'one letter': 'H',
  'a hint': 'HTTP/1.1 103 Early Hints\r\nLink: </evil>\r\n\r\n',
  'an interim answer': 'HTTP/1.1 102 Processing\r\n\r\n',
  'a switch of protocols': 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
  'a request': 'GET /evil HTTP/1.1\r\nHost: a\r\n\r\n',
  'an empty line': '\r\n',
  'a thousand answers': evil.repeat(1_000),
};

/** When it sends it: none of this is after the next request was written to that connection. */
const moments: Record<string, (socket: Socket, stray: string) => void> = {
  'in the same packet': (socket, stray) => void socket.write(good + stray),
  'in the next packet': (socket, stray) => void socket.write(good, () => socket.write(stray)),
  'a turn of the event loop later': (socket, stray) => {
    socket.write(good);
    setImmediate(() => socket.write(stray));
  },
  'while the connection is idle': (socket, stray) => {
    socket.write(good);
    setTimeout(() => socket.write(stray), 20);
  },
};

for (const [moment, send] of Object.entries(moments)) {
  t.test(`what an app sends ${moment} beyond its answer is never the answer to anybody`, async (t) => {
    for (const [what, stray] of Object.entries(strays)) {
      await t.test(what, (t) => noneIsHarmed(t, (socket) => send(socket, stray), moment.includes('idle')));
    }
  });
}

async function noneIsHarmed(t: Test, misdeed: Misdeed, waits: boolean): Promise<void> {
  const upstream = await hostileUpstream(t, misdeed);
  const { port, failed, seats } = await startRelay(t, { upstreamPort: upstream.port });
  for (let round = 0; round < 5; round += 1) {
    t.match(await ask(port, 'a', '/evil'), { status: 200, body: 'good' });
    if (waits) await new Promise((resolve) => setTimeout(resolve, 60));
    const victims = await Promise.all(Array.from({ length: 3 }, () => ask(port, 'a', '/good')));
    t.same(
      victims.map(({ status, body }) => `${status} ${body}`),
      victims.map(() => '200 good'),
    );
  }
  t.same(failed, []);
  t.equal(seats.open.size, 0);
}

t.test('an app that answers before it was sent the whole request gets no other one on that connection', async (t) => {
  const upstream = await hostileUpstream(t, (socket) => void socket.write(good));
  const { port } = await startRelay(t, { upstreamPort: upstream.port });
  // The body stays unread at the app, which would take it for the next request.
  const body = Buffer.from('GET /evil HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(20_000));
  const early = await ask(port, 'a', '/evil', { method: 'POST', body }).catch(() => undefined);
  if (early) t.equal(early.body, 'good');
  for (let round = 0; round < 5; round += 1) t.match(await ask(port, 'a', '/good'), { status: 200, body: 'good' });
});

t.test(
  'an app that overlooks the body of a GET, and answers it as a request, is not asked on that connection again',
  async (t) => {
    const upstream = await hostileUpstream(t, (socket) => void socket.write(good));
    const { port } = await startRelay(t, { upstreamPort: upstream.port });
    const body = 'GET /evil HTTP/1.1\r\nHost: a\r\n\r\n';
    for (const method of ['GET', 'DELETE', 'OPTIONS', 'PROPFIND']) {
      const headers = { 'content-length': String(body.length) };
      t.match(await ask(port, 'a', '/evil', { method, body, headers }), { status: 200, body: 'good' });
    }
    t.equal(upstream.received.length, 4, 'each went on a connection of its own');
    t.ok(upstream.received.every((bytes) => /\r\nconnection: close\r\n/i.test(bytes)));
  },
);

/** An app that reads no bodies: it takes them for requests. Answers to `/slow` come late. */
const readsNoBodies = (t: Test) => {
  const answered = new Map<Socket, number>();
  return rawUpstream(t, (socket, received) => {
    socket.setNoDelay(true);
    const lines = received.match(/^[A-Z]+ \/\S* HTTP\/1\.1\r$/gm) ?? [];
    for (const line of lines.slice(answered.get(socket) ?? 0)) {
      if (line.includes('/slow')) setTimeout(() => socket.write(evil), 60);
      else socket.write(good);
    }
    answered.set(socket, lines.length);
  });
};

for (const trustedProxies of [[], ['127.0.0.1']]) {
  const from = trustedProxies.length > 0 ? 'that came through a trusted proxy ' : '';
  t.test(`a body ${from}that the app takes for a slow request is answered to nobody else`, async (t) => {
    const upstream = await readsNoBodies(t);
    const relay = await startRelay(t, { upstreamPort: upstream.port, trustedProxies });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    t.teardown(() => agent.destroy());
    const body = 'GET /slow HTTP/1.1\r\nHost: a\r\n\r\n';
    for (let round = 0; round < 40; round += 1) {
      // What it gets itself is its own affair.
      t.equal((await ask(relay.port, 'a', '/', { method: 'POST', body, agent })).status, 200);
      const victims = await Promise.all(Array.from({ length: 3 }, () => ask(relay.port, 'a', '/good')));
      t.ok(victims.every((victim) => victim.body === 'good'));
    }
    await eventually(() => relay.seats.open.size === 0);
  });
}

t.test('a client that is known by its connection shares none to the app with others', async (t) => {
  for (const scheme of ['NTLM TlRMTVNTUAAD', 'negotiate YII']) {
    const upstream = await rawUpstream(t, (socket) => void socket.write(good));
    const relay = await startRelay(t, { upstreamPort: upstream.port });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    await ask(relay.port, 'a', '/known', { headers: { authorization: scheme }, agent });
    await ask(relay.port, 'a', '/stranger');
    await ask(relay.port, 'a', '/known-again', { agent });
    agent.destroy();
    await ask(relay.port, 'a', '/stranger');
    t.same(
      upstream.received.map((bytes) => bytes.match(/(?<=GET )\/\S+/g)),
      [
        ['/known', '/known-again'],
        ['/stranger', '/stranger'],
      ],
      scheme,
    );
  }
});

t.test('a client that is known by its connection behind a trusted proxy leaves none to others', async (t) => {
  const upstream = await rawUpstream(t, (socket) => void socket.write(good));
  const relay = await startRelay(t, { upstreamPort: upstream.port, trustedProxies: ['127.0.0.1'] });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.teardown(() => agent.destroy());
  await ask(relay.port, 'a', '/', { headers: { authorization: 'Negotiate YII' }, agent });
  await ask(relay.port, 'a', '/', { agent });
  t.equal(upstream.received.length, 2);
});
