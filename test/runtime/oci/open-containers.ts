import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { Test } from 'tap';
import { type App, appWith, revisionOf } from '../../../src/model/app.js';
import type { Address } from '../../../src/model/instance.js';
import { openOciRuntime, type OciRuntimeOptions } from '../../../src/runtime/oci.js';
import { ociObstacles } from '../../../src/runtime/oci/findings.js';
import type { Runtime } from '../../../src/runtime/runtime.js';
import { statOf } from '../../../src/machine/proc-fs.js';
import { systemClock } from '../../../src/machine/system-clock.js';
import { noLimits } from '../../fixtures/app.js';

export interface Containers {
  /** An empty directory that mounts may come from, and that others can enter. */
  readonly shared: string;
  readonly options: OciRuntimeOptions;
  open(changes?: Partial<OciRuntimeOptions>): Promise<Runtime>;
  /** What is left of instances on this host, by kind. */
  traces(): Promise<Record<string, string[]>>;
}

/** Nothing left of any instance. */
export const nothing = { files: [], groups: [], interfaces: [], mounts: [], namespaces: [], processes: [] };

/** A bridge, a subnet and a state directory of its own. Undefined, with a printed reason, if this machine cannot run containers. */
export async function useContainers(t: Test): Promise<Containers | undefined> {
  const subnet = takeSubnet(t);
  const bridge = `fct${randomBytes(4).toString('hex')}`;
  const basis = { program: 'runc', pluginDir: '/usr/lib/cni', bridge, subnet, hostRules: 'auto' as const };
  const obstacles = await ociObstacles(basis);
  if (obstacles.length > 0) {
    t.comment(`no containers of runc: ${obstacles.join('; ')}`);
    t.plan(0, 'this machine cannot run containers of runc');
    return undefined;
  }
  const stateDir = await mkdtemp(join(tmpdir(), 'fastcontainer-oci-'));
  const shared = await mkdtemp('/var/tmp/fastcontainer-shared-');
  execFileSync('chmod', ['755', shared]);
  const options: OciRuntimeOptions = {
    ...basis,
    stateDir,
    ...{ cmdbName: 'test', installation: 'test', allowHost: [], diskBytes: 64 * 1024 * 1024, sandboxes: 0 },
    ...{ imageBytes: 256 * 1024 * 1024, imagesBytes: 1024 * 1024 * 1024 },
    ...{ usersDir: join(stateDir, 'users'), users: { from: 1_900_000_000, to: 1_900_000_099 } },
    mounts: { roots: [shared, process.cwd()], own: [] },
    logger: pino({ level: 'silent' }),
    clock: systemClock,
  };
  const handles: Runtime[] = [];
  const open = async (changes: Partial<OciRuntimeOptions> = {}) => {
    const runtime = await openOciRuntime({ ...options, ...changes });
    handles.push(runtime);
    return runtime;
  };
  // No timer of the runtime keeps this process alive.
  const alive = setInterval(() => {}, 60_000);
  t.teardown(async () => {
    const last = await open();
    for (const { id } of await last.list()) await last.stop(id, 0);
    for (const handle of handles) await handle.close();
    clearInterval(alive);
    removeNetwork(bridge, subnet);
    for (const directory of [stateDir, shared]) await rm(directory, { recursive: true, force: true });
  });
  return { shared, options, open, traces: async () => tracesOf(stateDir, bridge) };
}

/** An app with the programs of the host, complete. */
export function containerApp(changes: Partial<App>): App {
  const basis = { name: 'shop', domains: ['shop.test'], runtime: 'oci', limits: noLimits } as const;
  return appWith({ ...basis, command: ['sleep', '1000'], stopTimeoutMs: 2_000, ...changes });
}

/** A shell of the host that runs `script`. */
export function shellApp(script: string, changes: Partial<App> = {}): App {
  return containerApp({ command: ['sh', '-c', script], ...changes });
}

export async function boot(runtime: Runtime, app: App): Promise<{ id: string; address: Address }> {
  const id = newId(app.name);
  const spec = { id, app, revision: revisionOf(app) };
  return { id, address: await runtime.boot(spec, { signal: new AbortController().signal, onPhase: () => {} }) };
}

export function newId(name: string): string {
  return `${name}-${randomBytes(6).toString('hex')}`;
}

/** Removes a bridge and its packet filter rules, of which the runtime keeps those for its next start. */
export function removeNetwork(bridge: string, subnet: string): void {
  const rules = [
    ...['iptables', 'ip6tables'].flatMap((tables) => [
      [tables, '-D', 'INPUT', '-i', bridge, '-j', `FC-${bridge}-host`],
      ...['FORWARD', 'DOCKER-USER'].flatMap((chain) => [
        [tables, '-D', chain, '-i', bridge, '-j', `FC-${bridge}-out`],
        [tables, '-D', chain, '-o', bridge, '-j', `FC-${bridge}-in`],
      ]),
      ...['host', 'out', 'in'].flatMap((name) => [
        [tables, '-F', `FC-${bridge}-${name}`],
        [tables, '-X', `FC-${bridge}-${name}`],
      ]),
    ]),
    ['iptables', '-t', 'nat', '-D', 'POSTROUTING', '-s', subnet, '-j', `FC-${bridge}-nat`],
    ['iptables', '-t', 'nat', '-F', `FC-${bridge}-nat`],
    ['iptables', '-t', 'nat', '-X', `FC-${bridge}-nat`],
    ['ip', 'link', 'delete', bridge],
  ];
  for (const [program = '', ...args] of rules) {
    try {
      execFileSync(program, program === 'ip' ? args : ['-w', '5', ...args], { stdio: 'ignore' });
    } catch {
      // It was never made.
    }
  }
}

/** What is left of instances of a state directory. */
export function tracesOf(stateDir: string, bridge: string): Record<string, string[]> {
  const listed = (path: string) => (existsSync(path) ? readdirSync(path) : []);
  const files = ['instances', 'containers', 'state', 'output', 'addresses'].flatMap((name) =>
    listed(join(stateDir, name)).map((file) => `${name}/${file}`),
  );
  const id = readFileSync(join(stateDir, 'id'), 'utf8').trim();
  const group = `fastcontainer-oci-${id.slice(0, 12)}`;
  const roots = ['/sys/fs/cgroup', ...listed('/sys/fs/cgroup').map((name) => join('/sys/fs/cgroup', name))];
  const groups = roots.flatMap((root) => {
    const path = join(root, group);
    return existsSync(path)
      ? readdirSync(path, { withFileTypes: true }).flatMap((entry) =>
          // Each dispatcher that runs has one without processes.
          entry.isDirectory() && !entry.name.startsWith('dispatcher.') ? [join(path, entry.name)] : [],
        )
      : [];
  });
  const pids = listed('/proc').filter((name) => /^\d+$/.test(name));
  const read = (pid: string, file: string) => {
    try {
      return readFileSync(`/proc/${pid}/${file}`, 'utf8');
    } catch {
      return '';
    }
  };
  // The namespaces of an instance live in a process that has their file systems mounted.
  const [directory, fs] = [join(stateDir, 'containers'), join(stateDir, 'fs')];
  const holders = pids.filter((pid) => read(pid, 'mountinfo').includes(` ${fs} `));
  return {
    // The draft of a lease or a record that a killed dispatcher left goes a minute later.
    files: files.filter((file) => !/\.freed$|\/claim-|\.new$/.test(file)),
    groups,
    interfaces: listed(`/sys/class/net/${bridge}/brif`),
    mounts: read('self', 'mountinfo')
      .split('\n')
      .filter((line) => line.includes(stateDir)),
    namespaces: holders,
    processes: pids.filter((pid) => {
      const line = read(pid, 'cmdline');
      return (
        (line.includes(directory) || line.includes(fs)) &&
        !line.includes('keeper-main') &&
        statOf(Number(pid)) !== undefined
      );
    }),
  };
}

/** A subnet that no other test process uses now. */
function takeSubnet(t: Test): string {
  const directory = join(tmpdir(), 'fastcontainer-test-subnets');
  mkdirSync(directory, { recursive: true });
  for (let attempt = 0; attempt < 1_000; attempt += 1) {
    const index = Math.floor(Math.random() * 4_096);
    const lease = join(directory, String(index));
    try {
      writeFileSync(lease, String(process.pid), { flag: 'wx' });
      t.teardown(() => rmSync(lease, { force: true }));
      return `10.${224 + Math.floor(index / 256)}.${index % 256}.0/24`;
    } catch {
      const owner = Number(readOr(lease));
      if (owner > 0 && statOf(owner) === undefined) rmSync(lease, { force: true });
    }
  }
  throw new Error(`all subnets are taken; remove ${directory} if no test runs`);
}

function readOr(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
