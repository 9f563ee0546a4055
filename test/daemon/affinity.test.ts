import t from 'tap';
import { install, startDaemon, until } from '../fixtures/daemon.js';
import { ask, instances } from '../fixtures/request.js';

const scale = { min: 2, max: 2 };
const concurrency = { target: 1, max: 50 };

interface Seen {
  readonly instance: string;
  readonly pid: number;
  readonly headers: Record<string, string>;
}

t.test('clients stay at their instances, and move when these end', async (t) => {
  const apps = {
    shop: { affinity: 'cookie', scale, concurrency },
    other: { affinity: 'cookie' },
    tools: { affinity: { header: 'mcp-session-id' }, scale, concurrency },
  };
  const { port, admin } = await startDaemon(t, await install(t, {}, apps));
  const get = async (app: string, headers: Record<string, string> = {}, path = '/') => {
    const answer = await ask(port, `${app}.localhost`, path, { headers });
    t.equal(answer.status, 200);
    const cookie = answer.headers['set-cookie']?.[0];
    return { ...(JSON.parse(answer.body) as Seen), cookie, answer };
  };
  const pairOf = (cookie: string | undefined) => cookie?.split(';')[0] ?? '';

  await get('shop');
  await until(async () => (await instances(admin, 'shop')).filter(({ state }) => state === 'ready').length === 2);
  // As many at once as are needed for both to get some.
  const clients = new Map<string, string>();
  await until(async () => {
    const some = await Promise.all(Array.from({ length: 6 }, () => get('shop', {}, '/identity?ms=50')));
    for (const { instance, cookie } of some) clients.set(instance, pairOf(cookie));
    return clients.size === 2;
  });
  for (const [instance, cookie] of clients) {
    for (let times = 0; times < 4; times += 1) {
      const seen = await get('shop', { cookie: `a=1; ${cookie}` });
      t.equal(seen.instance, instance);
      t.equal(seen.cookie, undefined);
      t.equal(seen.headers['cookie'], 'a=1');
    }
  }

  const [[, first] = ['', ''], [youngest, last] = ['', '']] = [...clients];
  t.not(first, last);
  const foreign = await get('other', { cookie: last });
  t.match(foreign.cookie, /^fastcontainer-affinity=[\w-]{22}; Path=\/; HttpOnly; SameSite=Lax$/);
  t.not(pairOf(foreign.cookie), last);
  t.match((await get('shop', { cookie: pairOf(foreign.cookie) })).cookie, /^fastcontainer-affinity=/);
  t.match((await get('shop', { cookie: `${last.slice(0, -1)}!` })).cookie, /^fastcontainer-affinity=/);

  const { pid } = await get('shop', { cookie: last });
  process.kill(pid, 'SIGKILL');
  const moved = await until(async () => {
    const answer = await ask(port, 'shop.localhost', '/', { headers: { cookie: last } });
    return answer.status === 200 ? answer : undefined;
  });
  const seen = JSON.parse(moved.body) as Seen;
  t.not(seen.instance, youngest);
  const next = pairOf(moved.headers['set-cookie']?.[0]);
  t.equal((await get('shop', { cookie: next })).instance, seen.instance);

  const session = (await ask(port, 'tools.localhost', '/session')).headers['mcp-session-id'];
  t.match(session, /^s-[\w-]+~[\w-]{22}$/);
  const again = await get('tools', { 'mcp-session-id': String(session) });
  t.equal(again.headers['mcp-session-id'], `s-${again.instance}`);
});
