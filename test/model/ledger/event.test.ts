import t from 'tap';
import { bootFailed, claimBoot, emptyDeployment, instanceDied } from '../../../src/model/deployment.js';
import { entriesOf, longestEntry } from '../../../src/model/ledger/event.js';
import { wake } from '../../../src/model/operations.js';
import { testApp } from '../../fixtures/app.js';
import { testDeployment } from '../../fixtures/deployment.js';

const app = testApp();
const claim = { id: 'shop-1', host: 'here', owner: 'me' };
const nothing = emptyDeployment('shop');
const booting = claimBoot(nothing, app, claim, 1);
const request = { host: 'shop.example', method: 'GET', path: '/', agent: 'browser' } as const;

t.test('a request is told of what it booted, and a token of what it ordered, and of nothing else', async (t) => {
  const note = { request, by: 'panel', exit: 'exit code 1', output: 'oops' };
  t.match(entriesOf(nothing, booting, app, note), [{ kind: 'booting', cause: 'request', request, by: undefined }]);
  const ordered = wake(nothing, app, claim, 1);
  t.match(entriesOf(nothing, ordered, app, note), [{ cause: 'operator', by: 'panel', request: undefined }]);
  const ready = testDeployment({});
  t.match(entriesOf(ready, instanceDied(ready, 'shop-1', 'x', 1), app, note), [
    { kind: 'exited', message: 'exit code 1', output: 'oops', by: undefined },
  ]);
});

t.test('nothing that a stranger writes makes an entry long, or reaches a terminal as it is', async (t) => {
  const long = '\u001b]0;\u202eé'.repeat(20_000);
  const stranger = { host: long, method: long, path: long, agent: 'none', client: long } as const;
  const failed = bootFailed(
    booting,
    'shop-1',
    { code: 'boot_failed', message: long },
    { owner: 'me', reason: 'boot_failed', stopTimeoutMs: 1 },
    2,
  );
  for (const entries of [
    entriesOf(nothing, booting, app, { request: stranger }),
    entriesOf(booting, failed, app, { output: long }),
  ]) {
    const text = JSON.stringify(entries);
    t.ok(Buffer.byteLength(text) <= longestEntry, `${Buffer.byteLength(text)} bytes`);
    t.notMatch(text, /\\u001b|\u202e/);
  }
});

t.test(
  'an entry that would still be too long goes without its labels, and is then not for tokens with labels',
  async (t) => {
    const labels = Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`label-${at}`, 'x'.repeat(200)]));
    const [entry] = entriesOf(nothing, booting, { labels }, { request });
    t.match(entry, { kind: 'booting', instance: 'shop-1', labels: undefined });
  },
);
