import t from 'tap';
import { problemsOf } from './files.js';

const hash = (digit: number) => `"sha256:${String(digit).repeat(64)}"`;
const withTokens = (...tokens: string[]) =>
  problemsOf({ 'main.yaml': `plans: { small: {} }\nadmin: { listen: ":8081", tokens: [${tokens.join(', ')}] }\n` });

t.test('tokens by hash are enough for an address off loopback', async (t) => {
  t.same(await withTokens(`{ name: panel, scope: write, hash: ${hash(1)} }`), []);
  t.match(await withTokens(), [/admin.token: is required if admin.listen is not loopback/]);
});

t.test('a token that could not be told from another, or would be bound by nothing, is refused', async (t) => {
  const panel = `{ name: panel, scope: read, hash: ${hash(1)} }`;
  const cases: [string, RegExp][] = [
    [`{ name: panel, scope: read, hash: ${hash(2)} }`, /tokens\[1\]\.name: panel is taken/],
    [`{ name: socket, scope: read, hash: ${hash(2)} }`, /tokens\[1\]\.name: socket is taken/],
    [`{ name: b, scope: read, hash: ${hash(1)} }`, /tokens\[1\]\.hash: is that of another token/],
    [`{ name: b, scope: read, hash: secret }`, /tokens\[1\]\.hash: must be sha256: and 64 hexadecimal digits/],
    [`{ name: b, scope: root, hash: ${hash(2)} }`, /tokens\[1\]\.scope: must be read, operate or write/],
    [`{ name: b, scope: write, hash: ${hash(2)}, labels: { a: b } }`, /tokens\[1\]\.domains: is required/],
    [`{ name: b, scope: read, hash: ${hash(2)}, domains: a.example }`, /tokens\[1\]: has domains, plan or images/],
    [
      `{ name: b, scope: write, hash: ${hash(2)}, labels: { a: b }, domains: a.example, plan: large }`,
      /tokens\[1\]\.plan: there is no plan "large"/,
    ],
  ];
  for (const [token, problem] of cases) t.match((await withTokens(panel, token)).join('\n'), problem);
});
