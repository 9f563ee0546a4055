import { Agent, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask } from '../ask.js';
import { startDaemon, type BenchDaemon } from '../daemon.js';
import { count, kib, mib, ms } from '../figures.js';
import { lightApp, nodeApp, type TestApp } from '../light-app.js';
import type { Bench, Part, PartResult } from '../part.js';
import { cpuSeconds, memoryOf, workersOf } from '../process-usage.js';
import type { Table } from '../table.js';

/** What an operator needs to size a host: boots per second, memory of the dispatcher per app and per connection. */
export const capacity: Part = { name: 'capacity', about: 'boots per second, memory per app and connection', run };

async function run(bench: Bench): Promise<PartResult> {
  const light = lightApp(bench.dir);
  const missing = light ? [] : ['capacity: the app without weight; apt-get install busybox-static'];
  const boots = [];
  for (const app of [nodeApp(), ...(light ? [light] : [])]) boots.push(await bootMany(bench, app));
  const connections = await holdConnections(bench);
  return {
    tables: [bootsTable(boots), connections],
    verdicts: [],
    missing,
  };
}

interface Boots {
  readonly name: string;
  readonly apps: number;
  readonly tookMs: number;
  readonly cpuMs: number;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
}

/** Wakes many apps at once, as after a restart of the host. */
async function bootMany({ processes, dir, smoke, say }: Bench, { name, command }: TestApp): Promise<Boots> {
  const names = Array.from({ length: smoke ? 10 : 200 }, (_, index) => `app-${index}`);
  const apps = ['first', ...names].map((app) => ({
    ...{ name: app, domains: [`${app}.localhost`], runtime: 'process', command },
    queue: { timeout: '5m' },
  }));
  const daemon = await startDaemon({ processes, dir: `${dir}/${name.replaceAll(' ', '-')}`, apps });
  await mustAnswer(daemon, 'first');
  say(`${names.length} × ${name} at once`);
  const bytesBefore = await settledBytes(daemon.pid, smoke);
  const pids = await workersOf(daemon.pid);
  const [cpu, from] = [cpuSeconds(pids), performance.now()];
  await Promise.all(names.map((app) => mustAnswer(daemon, app)));
  const tookMs = performance.now() - from;
  const cpuMs = (cpuSeconds(pids) - cpu) * 1_000;
  const bytesAfter = await settledBytes(daemon.pid, smoke);
  await daemon.stop();
  return { name, apps: names.length, tookMs, cpuMs, bytesBefore, bytesAfter };
}

async function mustAnswer(daemon: BenchDaemon, app: string): Promise<void> {
  const { status, body } = await ask(daemon.port, `${app}.localhost`);
  if (status !== 200) throw new Error(`${app} was answered ${status}: ${body}`);
}

function bootsTable(boots: readonly Boots[]): Table {
  return {
    title: 'Many apps woken at once',
    columns: ['app', 'apps', 'until the last answer', 'boots/s', 'CPU of the dispatcher per boot', 'its RSS per app'],
    rows: boots.map(({ name, apps, tookMs, cpuMs, bytesBefore, bytesAfter }) => [
      name,
      count(apps),
      ms(tookMs),
      count((apps / tookMs) * 1_000),
      ms(cpuMs / apps),
      kib(Math.max(0, bytesAfter - bytesBefore) / apps),
    ]),
    notes: ['The apps start on the same cores. RSS grows in steps: it is an upper bound of what an app needs.'],
  };
}

/** Requests in flight while connections are opened; below what an app takes at a time. */
const atOnce = 50;

/** Connections of clients that have had an answer and stay. */
async function holdConnections({ processes, dir, smoke }: Bench): Promise<Table> {
  const connections = smoke ? 500 : 5_000;
  const app = { name: 'held', domains: ['held.localhost'], runtime: 'process', command: nodeApp().command };
  const daemon = await startDaemon({ processes, dir: `${dir}/held`, apps: [app] });
  await mustAnswer(daemon, 'held');
  const before = await settledBytes(daemon.pid, smoke);
  const agent = new Agent({ keepAlive: true, maxSockets: connections, maxFreeSockets: connections });
  const held: (() => void)[] = [];
  // An answer that is not read to its end holds its connection, so that each batch needs new ones.
  while (held.length < connections) {
    const batch = Array.from({ length: Math.min(atOnce, connections - held.length) }, () => hold(agent, daemon.port));
    held.push(...(await Promise.all(batch)));
  }
  for (const release of held) release();
  const after = await settledBytes(daemon.pid, smoke);
  const open = Object.values(agent.freeSockets).reduce((sum, sockets = []) => sum + sockets.length, 0);
  agent.destroy();
  if (open !== connections) throw new Error(`of ${connections} idle connections ${open} were still open`);
  await daemon.stop();
  return {
    title: 'Idle client connections',
    columns: ['connections', 'RSS of the dispatcher', 'per connection'],
    rows: [
      ['0', mib(before), ''],
      [count(connections), mib(after), kib(Math.max(0, after - before) / connections)],
    ],
    notes: ['Each has had one answer. The memory of the kernel for its sockets comes on top.'],
  };
}

/** Asks once; resolves when the answer's header is there. The returned function takes the rest and frees the socket. */
function hold(agent: Agent, port: number): Promise<() => void> {
  return new Promise((resolve, reject) => {
    const req = request({ host: '127.0.0.1', port, headers: { host: 'held.localhost' }, agent });
    req.once('error', reject);
    req.once('response', (res) => {
      if (res.statusCode !== 200) return reject(new Error(`a connection was answered ${res.statusCode}`));
      resolve(() => void res.resume());
    });
    req.end();
  });
}

/** Memory in RAM that no file holds, when it has stopped to change with what was just done. */
async function settledBytes(pid: number, smoke: boolean): Promise<number> {
  await sleep(smoke ? 200 : 2_500);
  return memoryOf(pid).anonymous;
}
