import { randomBytes } from 'node:crypto';
import type { Cmdb, Session } from '../src/cmdb/cmdb.js';
import { revisionOf } from '../src/model/app.js';
import { addInstance } from '../src/model/deployment.js';
import type { Address, Instance } from '../src/model/instance.js';
import { putSleepingApps, sleepingApp } from './sleeping-apps.js';

/** The machine that holds the instances; the dispatcher that is measured is on another one. */
const otherHost = 'bench-containers';
const atOnce = 200;
const beatMs = 3_000;

/** Writes this many apps, each with one instance that is ready at one of the addresses, on another machine. */
export async function putActiveApps(cmdb: Cmdb, count: number, addresses: readonly Address[]): Promise<void> {
  await putSleepingApps(cmdb, count);
  for (let from = 0; from < count; from += atOnce) {
    const some = Array.from({ length: Math.min(atOnce, count - from) }, (_, index) => from + index);
    await Promise.all(
      some.map((index) => {
        const instance = instanceOf(index, addresses[index % addresses.length]);
        return cmdb.update(sleepingApp(index).name, (deployment) => addInstance(deployment, instance));
      }),
    );
  }
}

/** Keeps a session of that machine alive, as a dispatcher there would. Returns what ends it. */
export async function beatForOtherHost(cmdb: Cmdb): Promise<() => Promise<void>> {
  const incarnation = randomBytes(12).toString('hex');
  let beats = 0;
  const session = (): Session => ({
    incarnation,
    host: otherHost,
    beats: beats++,
    process: { pid: 0, startTime: '', bootId: '' },
  });
  let beating: Promise<unknown> = cmdb.beat(session());
  await beating;
  const timer = setInterval(() => (beating = cmdb.beat(session()).catch(() => {})), beatMs);
  return async () => {
    clearInterval(timer);
    await beating;
    await cmdb.beat(session(), [incarnation]);
  };
}

function instanceOf(index: number, address: Address | undefined): Instance {
  if (!address) throw new Error('an active app needs an address');
  const app = sleepingApp(index);
  const now = Date.now();
  return {
    id: `${app.name}-${randomBytes(6).toString('hex')}`,
    revision: revisionOf(app),
    state: 'ready',
    runtime: app.runtime,
    host: otherHost,
    address,
    bootedAt: now,
    readyAt: now,
    lastActiveAt: now,
    users: {},
    boot: {},
  };
}
