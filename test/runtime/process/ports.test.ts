import { once } from 'node:events';
import { mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { identify } from '../../../src/machine/proc-fs.js';
import { portLeases, type PortsOptions } from '../../../src/runtime/process/ports.js';
import { VirtualClock } from '../../fixtures/clock.js';
import { needsUsers, startImpostor } from '../../fixtures/impostor.js';
import { portsOfThisProcess } from './open-processes.js';

const minute = 60_000;

async function usePorts(t: Test, count: number) {
  const directory = await mkdtemp(join(tmpdir(), 'fastcontainer-ports-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const clock = new VirtualClock();
  const from = portsOfThisProcess;
  const options = { directory, from, to: from + count - 1, bindHost: '127.0.0.1', clock, isKnown: async () => true };
  const open = async (changes: Partial<PortsOptions> = {}) => {
    const ports = portLeases({ ...options, ...changes });
    await ports.open();
    return ports;
  };
  return { directory, clock, from, open };
}

async function listen(t: Test, port: number, host: string): Promise<void> {
  const server = createServer().listen(port, host);
  t.teardown(() => server.close());
  await once(server, 'listening');
}

t.test('the port that was freed first is used first, after a minute', async (t) => {
  const { clock, from, open } = await usePorts(t, 3);
  const ports = await open();
  t.same([await ports.lease('a'), await ports.lease('b'), await ports.lease('c')], [from, from + 1, from + 2]);
  await ports.free(from + 1, 'b');
  await clock.advance(1_000);
  await ports.free(from, 'a');
  await t.rejects(ports.lease('d'), { message: /no free port.*widen runtimes.process.ports/ });
  await clock.advance(minute - 1_000);
  t.equal(await ports.lease('d'), from + 1);
  await t.rejects(ports.lease('e'), { message: /no free port/ });
  await clock.advance(1_000);
  t.equal(await ports.lease('e'), from);
});

t.test('leases and rests outlive a restart', async (t) => {
  const { clock, from, open } = await usePorts(t, 4);
  const ports = await open();
  for (const id of ['a', 'b', 'c']) await ports.lease(id);
  await ports.free(from + 2, 'c');
  await clock.advance(5_000);
  await ports.free(from, 'a');
  const next = await open();
  t.equal(await next.lease('d'), from + 3, 'one that was never used');
  await t.rejects(next.lease('e'), { message: /no free port/ });
  await clock.advance(minute);
  const last = await open();
  t.equal(await last.lease('e'), from + 2);
  t.equal(await last.lease('f'), from);
  await t.rejects(last.lease('g'), { message: /no free port/ });
});

t.test('several that share the directory never lease the same port', async (t) => {
  const { open } = await usePorts(t, 10);
  const all = await Promise.all([open(), open(), open()]);
  const leases = all.flatMap((ports, index) => [0, 1, 2].map((count) => ports.lease(`i-${index}-${count}`)));
  t.equal(new Set(await Promise.all(leases)).size, 9);
  const [first] = all;
  const [last, none] = await Promise.allSettled([first?.lease('last'), first?.lease('none')]);
  t.same([last?.status, none?.status].toSorted(), ['fulfilled', 'rejected']);
});

t.test('nor do they when ports come round again and again', async (t) => {
  const { clock, open } = await usePorts(t, 10);
  const all = [await open(), await open()] as const;
  for (let round = 0; round < 3; round += 1) {
    const ids = Array.from({ length: 10 }, (_, index) => `i-${round}-${index}`);
    const leased = await Promise.all(ids.map((id, index) => all[index % 2 === 0 ? 0 : 1].lease(id)));
    t.equal(new Set(leased).size, 10);
    await Promise.all(leased.map((port, index) => all[1].free(port, `i-${round}-${index}`)));
    await clock.advance(minute);
  }
});

t.test('a port that another freed rests for us too', async (t) => {
  const { clock, from, open } = await usePorts(t, 1);
  const [ours, theirs] = [await open(), await open()];
  t.equal(await theirs.lease('a'), from);
  await theirs.free(from, 'a');
  await t.rejects(ours.lease('b'), { message: /no free port/ });
  await clock.advance(minute);
  t.equal(await ours.lease('b'), from);
  await theirs.free(from, 'a');
  await t.rejects(theirs.lease('c'), { message: /no free port/ }, 'only the holder frees');
});

t.test('a wall clock that steps neither cuts a rest nor draws it out', async (t) => {
  const { clock, from, open } = await usePorts(t, 1);
  const ports = await open();
  await ports.lease('a');
  await ports.free(from, 'a');
  clock.stepWall(24 * 60 * minute);
  await t.rejects(ports.lease('b'), { message: /no free port/ });
  await clock.advance(minute);
  await ports.lease('b');
  await ports.free(from, 'b');
  clock.stepWall(-24 * 60 * minute);
  const next = await open();
  await t.rejects(next.lease('c'), { message: /no free port/ });
  await clock.advance(minute);
  t.equal(await next.lease('c'), from);
});

t.test('a port that a foreign program holds, on whatever address, is skipped', async (t) => {
  const { directory, from, open } = await usePorts(t, 5);
  await listen(t, from, '127.0.0.1');
  await listen(t, from + 1, '0.0.0.0');
  await listen(t, from + 2, '::');
  await listen(t, from + 3, '127.0.0.2');
  t.equal(await (await open()).lease('a'), from + 4);
  const leases = (await readdir(directory)).filter((file) => /^\d+$/.test(file));
  t.same(leases, [String(from + 4)]);
});

t.test('a program that holds every port is named, and keeps them from us no longer than it does so', async (t) => {
  const { from, open } = await usePorts(t, 5);
  const ports = await open();
  t.equal(await ports.lease('a'), from);
  const impostor = startImpostor(t, from + 1, from + 4);
  await impostor.holds;
  const uid = needsUsers === false ? 31_002 : process.getuid?.();
  await t.rejects(ports.lease('b'), {
    message: new RegExp(
      `no free port from ${from} to ${from + 4}: 1 leased to instances, ` +
        `4 held by other programs \\(4 by process ${impostor.pid} of user ${uid}\\); end what holds them`,
    ),
  });
  await impostor.end();
  t.ok((await ports.lease('b')) > from, 'at once, though the clock stands still');
});

t.test(
  'ports that are held without listening are tried a bounded number of times, and the next boot goes on there',
  async (t) => {
    const { directory, from, clock } = await usePorts(t, 1);
    const held = new Set<number>();
    const last = from + 250;
    const ports = portLeases({
      ...{ directory, from, to: last, bindHost: '127.0.0.1', clock, isKnown: async () => true },
      isFree: async (port) => !held.has(port),
    });
    for (let port = from; port < last; port += 1) held.add(port);
    await ports.open();
    await t.rejects(ports.lease('a'), { message: /no free port.*100 taken by a program that does not listen/ });
    await t.rejects(ports.lease('a'), { message: /no free port/ });
    t.equal(await ports.lease('a'), last);
  },
);

t.test('an address that is not of this machine is named', async (t) => {
  const { directory, open } = await usePorts(t, 5);
  const ports = await open({ bindHost: '192.0.2.1' });
  await t.rejects(ports.lease('a'), { message: /192\.0\.2\.1.*correct node\.advertise/ });
  t.same(
    (await readdir(directory)).filter((file) => !file.endsWith('.freed')),
    [],
  );
});

t.test('what a dispatcher leased that died before it wrote a record is freed, and rests', async (t) => {
  const { directory, clock, from, open } = await usePorts(t, 1);
  const lease = { id: 'a', claimant: { ...identify(process.pid), startTime: '1' } };
  await writeFile(join(directory, String(from)), JSON.stringify(lease));
  const ports = await open({ isKnown: async () => false });
  await t.rejects(ports.lease('b'), { message: /no free port/ });
  await clock.advance(minute);
  t.equal(await ports.lease('b'), from);
});

t.test('what a living dispatcher has just leased stays leased, and so does what has a record', async (t) => {
  const { clock, from, open } = await usePorts(t, 2);
  const ports = await open();
  await ports.lease('a');
  const other = await open({ isKnown: async () => false });
  await clock.advance(minute);
  t.equal(await other.lease('b'), from + 1);
  await t.rejects(other.lease('c'), { message: /no free port/ });
});

t.test('files that are no leases do no harm, and half-done ones go', async (t) => {
  const { directory, from, open } = await usePorts(t, 1);
  for (const file of ['README', 'x.freed', '99999999', 'claim-old', 'claim-new'])
    await writeFile(join(directory, file), '');
  await utimes(join(directory, 'claim-old'), 1, 1);
  t.equal(await (await open()).lease('a'), from);
  t.ok((await readdir(directory)).includes('claim-new'));
  t.notOk((await readdir(directory)).includes('claim-old'));
});
