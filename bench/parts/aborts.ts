import { resolve } from 'node:path';
import { instancesOf, metric } from '../admin.js';
import { ask } from '../ask.js';
import { type BenchDaemon, startDaemon } from '../daemon.js';
import { count, mib } from '../figures.js';
import type { Bench, Part, PartResult } from '../part.js';
import { memoryOf, tcpSocketsOf } from '../process-usage.js';
import { settle } from '../settle.js';
import { moments, vanish } from '../vanishing-client.js';
import { exactly, type Verdict } from '../verdict.js';

/** Clients that vanish at a random moment leave nothing behind. */
export const aborts: Part = { name: 'aborts', about: '10,000 clients that vanish', run };

const atOnce = 500;
const longestLingerMs = 60;
/** What is left after this long is not on its way out. */
const settleLimitMs = 30_000;

interface Left {
  readonly sockets: number;
  readonly inflight: number;
  readonly waiters: number;
  readonly residentBytes: number;
}

async function run({ processes, dir, smoke, say }: Bench): Promise<PartResult> {
  const clients = smoke ? 2_000 : 10_000;
  // A new app for each wave: the clients of the moment `boot` find one that sleeps and takes its time.
  const names = Array.from({ length: clients / atOnce }, (_, wave) => `wave-${wave}`);
  const daemon = await startDaemon({ processes, dir, apps: names.map(app) });
  const before = await look(daemon, []);
  for (const name of names) {
    say(`${name}: ${atOnce} clients`);
    await Promise.all(Array.from({ length: atOnce }, (_, index) => client(daemon, name, index)));
  }
  const after = await settle(
    () => look(daemon, names),
    ({ sockets, inflight, waiters }) => sockets <= before.sockets && inflight + waiters === 0,
    settleLimitMs,
  );
  const { status } = await ask(daemon.port, 'wave-0.localhost');
  const verdicts = judge(clients, before, after);
  const broken = verdicts.filter(({ held }) => held === false).map(({ what, measured }) => `${what}: ${measured}`);
  if (status !== 200) broken.push(`aborts: the next request was answered ${status}`);
  return {
    tables: [
      {
        title: `${count(clients)} clients that vanish`,
        columns: ['', 'TCP sockets', 'requests in flight', 'waiters', 'RSS of the dispatcher'],
        rows: [row('before', before), row('after', after)],
        notes: [`${atOnce} at a time, at a random moment within ${longestLingerMs} ms: ${moments.join(', ')}.`],
      },
    ],
    verdicts,
    broken,
  };
}

function app(name: string): Record<string, unknown> {
  const command = [process.execPath, resolve('test/fixtures/apps/web.mjs')];
  return { name, domains: [`${name}.localhost`], runtime: 'process', command, env: { BOOT_DELAY_MS: '30' } };
}

function client({ port }: BenchDaemon, name: string, index: number): Promise<void> {
  return vanish(port, `${name}.localhost`, moments[index % moments.length] ?? 'boot', Math.random() * longestLingerMs);
}

async function look(daemon: BenchDaemon, names: readonly string[]): Promise<Left> {
  const instances = (await Promise.all(names.map((name) => instancesOf(daemon, name)))).flat();
  const waiters = await metric(daemon, 'fastcontainer_queue_length');
  return {
    sockets: await tcpSocketsOf(daemon.pid),
    inflight: instances.reduce((sum, { inflight }) => sum + inflight, 0),
    waiters,
    residentBytes: memoryOf(daemon.pid).resident,
  };
}

function judge(clients: number, before: Left, after: Left): Verdict[] {
  const of = (what: string) => `${what} left by ${count(clients)} clients that vanished`;
  return [
    exactly(of('TCP sockets'), 0, Math.max(0, after.sockets - before.sockets), count),
    exactly(of('requests in flight'), 0, after.inflight, count),
    exactly(of('waiters'), 0, after.waiters, count),
  ];
}

function row(when: string, { sockets, inflight, waiters, residentBytes }: Left): string[] {
  return [when, count(sockets), count(inflight), count(waiters), mib(residentBytes)];
}
