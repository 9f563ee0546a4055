import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { pino } from 'pino';
import { RecordSigner } from '../../src/cmdb/record-signer.js';
import { systemClock } from '../../src/machine/system-clock.js';
import { openProcessRuntime } from '../../src/runtime/process.js';
import { testApp } from '../fixtures/app.js';
import { install, isAlive, quick, startDaemon, until } from '../fixtures/daemon.js';
import { portRange } from '../fixtures/port-range.js';
import { askIdentity } from '../fixtures/request.js';

const name = 'fastcontainer';
const host = 'hello.localhost';
const timing = { ...quick, reconcilePeriodMs: 300 };

/** Two installations of one machine with the default name, each with its own store and key, whose processes are in these directories. */
async function useTwo(t: Test, stateDirs: (dirs: readonly string[]) => readonly string[]) {
  const keys = ['one', 'two'].map((which) => `the-key-of-installation-${which}-in-tests`);
  // Not a testdir: that goes before the daemons, which end their apps by what is in it.
  const base = await mkdtemp(join(tmpdir(), 'fastcontainer-two-'));
  t.teardown(() => rm(base, { recursive: true, force: true, maxRetries: 5 }));
  const dirs = ['one', 'two'].map((which) => join(base, which));
  return Promise.all(
    stateDirs(dirs).map(async (stateDir, index) => {
      const { from, to } = portRange(t);
      const key = keys[index]!;
      const installation = await install(t, {
        cmdb: { url: `lmdb:${join(dirs[index]!, 'cmdb')}`, name, signingKey: key },
        node: { host: 'web1' },
        runtimes: { process: { stateDir, scratchDir: join(stateDir, 'scratch'), ports: `${from}-${to}` } },
      });
      return { installation, stateDir, key };
    }),
  );
}

/** Resolves when the daemon of an installation has compared twice since: it ends a process of its own that no CMDB knows. */
async function compared({ stateDir, key }: { stateDir: string; key: string }, port: number): Promise<void> {
  const installation = new RecordSigner(key, name).keyId;
  const users = { from: 1_900_000_000, to: 1_900_000_009 };
  const options = { stateDir, cmdbName: name, installation, users, ports: { from: port, to: port + 5 } };
  const runtime = await openProcessRuntime({ ...options, logger: pino({ level: 'silent' }), clock: systemClock });
  const id = `stray-${port}`;
  const app = testApp({ name: 'stray', command: ['sleep', '1000'] });
  const spec = { id, app, revision: 'r' };
  // It may be ended before it has booted.
  await runtime.boot(spec, { signal: new AbortController().signal, onPhase: () => {} }).catch(() => undefined);
  await until(async () => (await runtime.inspect(id)).state === 'gone' || undefined);
  await runtime.close();
}

const places = {
  'in directories of their own': (dirs: readonly string[]) => dirs.map((dir) => join(dir, 'process')),
  'in one directory': (dirs: readonly string[]) => dirs.map(() => join(dirs[0]!, 'process')),
};

for (const [where, stateDirs] of Object.entries(places)) {
  t.test(`two installations of one name with processes ${where} leave each other's alone`, async (t) => {
    const two = await useTwo(t, stateDirs);
    const daemons = [];
    for (const { installation } of two) daemons.push(await startDaemon(t, installation, timing));
    const apps = await Promise.all(daemons.map(({ port }) => askIdentity(port, host)));
    t.not(apps[0]?.pid, apps[1]?.pid);
    for (const each of two) {
      await compared(each, portRange(t).from);
    }
    for (const [index, { port }] of daemons.entries()) {
      t.match(await askIdentity(port, host), { pid: apps[index]?.pid });
      t.ok(isAlive(apps[index]?.pid ?? 0));
    }
    // One that stops ends its own apps, not the other's.
    await daemons[0]?.daemon.close();
    t.notOk(isAlive(apps[0]?.pid ?? 0));
    t.match(await askIdentity(daemons[1]?.port ?? 0, host), { pid: apps[1]?.pid });
    await daemons[1]?.daemon.close();
    t.notOk(isAlive(apps[1]?.pid ?? 0));
  });
}
