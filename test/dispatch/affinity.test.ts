import t from 'tap';
import { Affinity, affinityCookie } from '../../src/dispatch/affinity.js';
import { addMark } from '../../src/forward/affinity-mark.js';
import { testApp } from '../fixtures/app.js';
import { testDeployment } from '../fixtures/deployment.js';

const deployment = testDeployment({ id: 'one' }, { id: 'two' });
const own = new Affinity(Buffer.alloc(32, 1));
const byCookie = testApp({ name: 'shop', affinity: 'cookie' });
const byHeader = testApp({ name: 'shop', affinity: { header: 'Mcp-Session-Id' } });
const bySession = testApp({ name: 'shop', affinity: { cookie: 'sid' } });

/** The headers of an answer as a client sees them. */
function answerOf(
  app: typeof byCookie,
  headers: string[],
  { from = own, preferred = '', isSecure = false } = {},
): string[] {
  const mark = from.markOf(app, 'two', preferred || undefined, isSecure);
  if (mark) addMark(headers, mark);
  return headers;
}

function take(app: typeof byCookie, headers: string[], by = own) {
  const sent = ['Host', 'shop.example', ...headers];
  return { instance: by.take(sent, app, deployment), headers: sent.slice(2) };
}

t.test('the cookie of the dispatcher leads to its instance, and the app does not see it', async (t) => {
  const [name, line = ''] = answerOf(byCookie, []);
  t.equal(name, 'Set-Cookie');
  t.match(line, /^fastcontainer-affinity=[\w-]{22}; Path=\/; HttpOnly; SameSite=Lax$/);
  t.match(answerOf(byCookie, [], { isSecure: true })[1], /; Secure$/);
  t.same(answerOf(byCookie, [], { preferred: 'one' }), [], 'a client that has one keeps it');
  const [pair = ''] = line.split(';');
  t.same(take(byCookie, ['Cookie', pair]), { instance: 'two', headers: [] });
  t.same(take(byCookie, ['cookie', `a=1; ${pair}; b=2`, 'X', 'y']), {
    instance: 'two',
    headers: ['cookie', 'a=1; b=2', 'X', 'y'],
  });
  t.same(take(byCookie, ['Cookie', `${affinityCookie}=nonsense; ${pair}`]), { instance: 'two', headers: [] });
  t.same(take(byCookie, ['Cookie', `x${pair}`]), { instance: undefined, headers: ['Cookie', `x${pair}`] });
});

t.test('forged tags, those of other apps, keys and gone instances lead nowhere', async (t) => {
  const pairFor = (app: typeof byCookie, instance: string, from = own) => {
    const mark = from.markOf(app, instance, undefined, false);
    return mark?.kind === 'cookie' ? mark.line.split(';')[0]! : '';
  };
  const forged = [
    `${affinityCookie}=${'A'.repeat(22)}`,
    `${affinityCookie}=two`,
    `${affinityCookie}=`,
    pairFor(testApp({ name: 'other', affinity: 'cookie' }), 'two'),
    pairFor(byCookie, 'gone'),
    pairFor(byCookie, 'two', new Affinity(Buffer.alloc(32, 2))),
  ];
  for (const pair of forged) t.same(take(byCookie, ['Cookie', pair]), { instance: undefined, headers: [] }, pair);
  t.equal(take(byCookie, ['Cookie', pairFor(byCookie, 'one')]).instance, 'one');
});

t.test('a tag behind what the app gave in a header or a cookie comes off again', async (t) => {
  const [, value = ''] = answerOf(byHeader, ['mcp-session-id', 'abc~def']);
  t.match(value, /^abc~def~[\w-]{22}$/);
  t.same(take(byHeader, ['MCP-Session-Id', value]), { instance: 'two', headers: ['MCP-Session-Id', 'abc~def'] });
  t.same(take(byHeader, ['mcp-session-id', 'abc~def']), {
    instance: undefined,
    headers: ['mcp-session-id', 'abc~def'],
  });
  t.same(answerOf(byHeader, ['mcp-session-id', '', 'etag', 'x']), ['mcp-session-id', '', 'etag', 'x']);

  const lines = answerOf(bySession, ['Set-Cookie', 'sid=s%3A1; Path=/; HttpOnly', 'set-cookie', 'other=1']);
  t.match(lines[1], /^sid=s%3A1~[\w-]{22}; Path=\/; HttpOnly$/);
  t.equal(lines[3], 'other=1');
  const [pair = ''] = lines[1]!.split(';');
  t.same(take(bySession, ['Cookie', `a=1; ${pair}; sid2=x`]), {
    instance: 'two',
    headers: ['Cookie', 'a=1; sid=s%3A1; sid2=x'],
  });
  for (const line of ['sid=; Max-Age=0', 'sid="quoted"; Path=/', 'sid', 'xsid=1'])
    t.same(answerOf(bySession, ['Set-Cookie', line]), ['Set-Cookie', line]);
});

t.test('an app without affinity gets what clients send', async (t) => {
  const plain = testApp({ name: 'shop' });
  const headers = ['Cookie', `${affinityCookie}=${'A'.repeat(22)}`];
  t.same(take(plain, headers), { instance: undefined, headers });
  t.equal(own.markOf(plain, 'two', undefined, false), undefined);
});

t.test('hostile headers cost no more than their length', async (t) => {
  const long = `${'~'.repeat(8_000)}${'sid='.repeat(2_000)};`.repeat(2);
  for (const app of [byCookie, bySession]) t.equal(take(app, ['Cookie', long]).instance, undefined);
  t.equal(take(byHeader, ['mcp-session-id', long]).instance, undefined);
});
