import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import autocannon from 'autocannon';
import { stringify } from 'yaml';

// Warm requests through the dispatcher beside the barest relays of the libraries that it is made of. What counts is the
// processor time of the relay's own process per request; the load and the upstream run on another core where there is one.

const smoke = process.argv.includes('--smoke');
const rounds = smoke ? 1 : 3;
const seconds = smoke ? 1 : 5;
const connections = 64;
const host = 'bench.localhost';
const ticksPerSecond = Number(spawnSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }).stdout || 100);
const canPin = spawnSync('taskset', ['-c', '1', 'true']).status === 0;
const children: ChildProcess[] = [];
const dir = mkdtempSync(join(tmpdir(), 'fastcontainer-bench-'));
const server = resolve('dist/bench/server.js');

interface Subject {
  readonly name: string;
  readonly pid: number;
  readonly url: string;
  readonly runs: { cpuMicros: number; perSecond: number; p50: number; p99: number }[];
}

try {
  const upstream = await launch(0, [server, 'upstream']);
  const target = `http://127.0.0.1:${upstream.port}`;
  const subjects = [
    await relay('http-proxy, keep-alive agent', [server, 'http-proxy', target]),
    await relay('node:http + undici dispatch', [server, 'undici', target]),
    await relay('fastcontainer', [resolve('dist/src/main.js'), 'start', '--stop-apps', '--config', config()]),
    await relay('node:http + undici dispatch, again', [server, 'undici', target]),
  ];
  for (const subject of subjects) await load(subject, 1);
  for (let round = 0; round < rounds; round += 1) {
    for (const subject of subjects) subject.runs.push(await load(subject, seconds));
  }
  print(subjects);
} finally {
  for (const child of children.toReversed()) {
    child.kill('SIGTERM');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
  rmSync(dir, { recursive: true, force: true });
}

function config(): string {
  writeFileSync(
    join(dir, 'app.yaml'),
    stringify({ name: 'bench', domains: [host], runtime: 'process', command: [process.execPath, server, 'upstream'] }),
  );
  const file = join(dir, 'main.yaml');
  const local = { listen: { http: '127.0.0.1:0' }, admin: { listen: '127.0.0.1:0' }, log: { level: 'info' } };
  const store = { cmdb: `lmdb:${dir}/cmdb`, stateDir: `${dir}/state`, apps: './app.yaml' };
  writeFileSync(file, stringify({ ...local, ...store, runtimes: { process: { ports: '31000-31099' } } }));
  return file;
}

async function relay(name: string, args: string[]): Promise<Subject> {
  const { pid, port } = await launch(1, args);
  return { name, pid, url: `http://127.0.0.1:${port}/`, runs: [] };
}

async function launch(core: number, args: string[]): Promise<{ pid: number; port: number }> {
  const command = [...(canPin ? ['taskset', '-c', String(core)] : []), process.execPath, ...args];
  const child = spawn(command[0] as string, command.slice(1), { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const port = await new Promise<number>((found, failed) => {
    child.once('exit', (code) => failed(new Error(`${args.join(' ')} ended with code ${code}`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (!line.includes('"listening"')) return;
      const said = JSON.parse(line) as { port?: number; http?: string[] };
      found(said.port ?? Number(said.http?.[0]?.split(':').at(-1)));
    });
  });
  return { pid: child.pid ?? 0, port };
}

async function load({ name, pid, url }: Subject, duration: number): Promise<Subject['runs'][number]> {
  const before = cpuSeconds(pid);
  const result = await autocannon({ url, connections, duration, headers: { host } });
  const spent = cpuSeconds(pid) - before;
  if (result.non2xx > 0 || result.errors > 0 || result.requests.total === 0) {
    throw new Error(`${name}: ${result.non2xx} answers were not 2xx, ${result.errors} errors`);
  }
  const { total, average } = result.requests;
  return { cpuMicros: (spent / total) * 1e6, perSecond: average, p50: result.latency.p50, p99: result.latency.p99 };
}

/** User and system time of a process. Source: proc(5), fields 14 and 15. */
function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function print(subjects: readonly Subject[]): void {
  const of = (name: string, figure: (run: Subject['runs'][number]) => number) =>
    median((subjects.find((subject) => subject.name === name)?.runs ?? []).map(figure));
  const own = of('fastcontainer', ({ cpuMicros }) => cpuMicros);
  console.log(`warm requests, ${connections} connections, medians of ${rounds} × ${seconds} s, interleaved`);
  console.log(
    'relay                                CPU µs/request   requests/s   p50 ms   p99 ms   fastcontainer ÷ it',
  );
  for (const { name } of subjects) {
    const cpu = of(name, ({ cpuMicros }) => cpuMicros);
    const columns = [
      name.padEnd(36),
      cpu.toFixed(1).padStart(15),
      of(name, ({ perSecond }) => perSecond)
        .toFixed(0)
        .padStart(12),
      of(name, ({ p50 }) => p50)
        .toFixed(1)
        .padStart(8),
      of(name, ({ p99 }) => p99)
        .toFixed(1)
        .padStart(8),
      (own / cpu).toFixed(2).padStart(20),
    ];
    console.log(columns.join(' '));
  }
}
