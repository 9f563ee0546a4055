import t from 'tap';
import { int, pick, type Random, seeded } from '../../scripts/load/random.js';
import { domainOf } from '../../src/model/host-name.js';
import { LocalApps } from '../../src/uses/local-apps.js';
import { Router } from '../../src/check/router.js';
import type { Cmdb } from '../../src/cmdb/cmdb.js';
import { install, startDaemon } from '../fixtures/daemon.js';
import { sendRaw } from '../fixtures/raw.js';
import { ask } from '../fixtures/request.js';
import { metric } from '../fixtures/vital-signs.js';

const seed = Number(process.env['FASTCONTAINER_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 32));
const pieces = [
  'a',
  'xn--',
  'xn--nxasmq6b',
  '.',
  '..',
  '-',
  '_',
  ':80',
  ':99999',
  '[::1]',
  '%00',
  '\xff',
  '\xc3\xa9',
  ' ',
  '@',
  '*',
  '127.0.0.1',
  'localhost',
];

function hostOf(random: Random): string {
  if (random() < 0.5) return `${int(random, 2 ** 32).toString(36)}.example`;
  const count = 1 + int(random, 6);
  return Array.from({ length: count }, () =>
    random() < 0.7 ? pick(random, pieces) : String.fromCharCode(1 + int(random, 255)).repeat(1 + int(random, 70)),
  ).join('');
}

t.test('100,000 random hosts cost one look-up each at most', async (t) => {
  t.comment(`seed ${seed}`);
  const random = seeded(seed);
  let asked = 0;
  const find: Cmdb['find'] = async () => {
    asked += 1;
    return undefined;
  };
  const cmdb = { find } as Cmdb;
  const router = new Router({ cmdb, apps: new LocalApps(cmdb), isComplete: () => true });
  let refused = 0;
  for (let index = 0; index < 100_000; index += 1) {
    const host = hostOf(random);
    const code = await router.find(host).then(
      () => 'found',
      (error: unknown) => (error as { code?: string }).code,
    );
    const expected = domainOf(host) === undefined ? 'bad_request' : 'unknown_domain';
    if (code !== expected) return t.fail(`${JSON.stringify(host)}: ${code}`);
    if (code === 'bad_request') refused += 1;
    if (index % 100 > 0) continue;
    const before = asked;
    await router.find(host).catch(() => {});
    if (asked !== before) return t.fail(`${JSON.stringify(host)} was looked up again at once`);
  }
  t.ok(
    refused > 1_000 && asked > 10_000 && asked + refused <= 100_000,
    `${refused} were no host names, ${asked} look-ups`,
  );
});

t.test('hosts of random bytes are refused or unknown, ask the store once, and disturb nobody', async (t) => {
  t.comment(`seed ${seed}`);
  const random = seeded(seed);
  const { port, admin } = await startDaemon(t, await install(t));
  t.equal((await ask(port, 'hello.localhost')).status, 200);
  const finds = () => metric(admin, /^fastcontainer_cmdb_operation_seconds_count\{.*operation="find"/);
  const before = await finds();
  const domains = new Set<string>();
  for (let round = 0; round < 40; round += 1) {
    const hosts = Array.from({ length: 25 }, () => hostOf(random).replaceAll(/[\r\n]/g, ''));
    await Promise.all(
      hosts.map(async (host) => {
        const answer = await sendRaw(port, `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`, 5_000);
        if (!/^HTTP\/1\.1 (400|404) /.test(answer)) t.fail(`${JSON.stringify(host)}: ${answer.slice(0, 200)}`);
        if (answer.startsWith('HTTP/1.1 404 ')) domains.add(host);
      }),
    );
  }
  t.ok(domains.size > 100);
  t.ok((await finds()) - before <= domains.size, `${(await finds()) - before} look-ups for ${domains.size} hosts`);
  t.equal((await ask(port, 'hello.localhost')).status, 200);
});
