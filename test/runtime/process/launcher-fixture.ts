import { readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Test } from 'tap';
import { allProcesses, forEachProcess, hasInEnvironment, identify } from '../../../src/proc-fs.js';
import { newSecret } from '../../../src/runtime/process/records.js';
import { Launcher } from '../../../src/runtime/process/launcher.js';
import { systemClock } from '../../../src/system-clock.js';
import { eventually } from '../../fixtures/eventually.js';
import { newId, type Processes } from './open-processes.js';

/** The launchers of a process that run. */
export async function launchersOf(dispatcher: number): Promise<number[]> {
  const children = (await allProcesses()).filter(({ parent }) => parent === dispatcher);
  return children.map(({ pid }) => pid).filter(isLauncher);
}

function isLauncher(pid: number): boolean {
  try {
    return /launcher(-main\.js|\.mjs)/.test(readFileSync(`/proc/${pid}/cmdline`, 'latin1'));
  } catch {
    return false;
  }
}

/** The pid of the launcher that these processes have from now on: it comes with the first boot, which has been. The log is that of level `trace`. */
export async function readyLauncher({ log }: Processes, count = 1): Promise<number> {
  const ready = () => log.filter(({ msg }) => msg === 'the launcher is ready');
  await eventually(() => ready().length >= count);
  return Number(ready().at(-1)?.['pid']);
}

/** Processes that carry an instance's marker. */
export async function marked(id: string): Promise<number[]> {
  const pids = (await allProcesses()).map(({ pid }) => pid);
  const carries = await forEachProcess(pids, (pid) => hasInEnvironment(pid, `FASTCONTAINER_INSTANCE=${id}`));
  return pids.filter((_, index) => carries[index]);
}

/** A launcher that fails at each order but the first, which starts it. What it has started is killed after the test. */
export async function badLauncher(t: Test, processes: Processes) {
  const { stateDir, options, log } = processes;
  const launcher = new Launcher({
    clock: systemClock,
    logger: options.logger,
    script: resolve('test/fixtures/bad-launcher.mjs'),
  });
  const path = join(stateDir, 'output.log');
  const file = await open(path, 'a');
  const told: string[] = [];
  const start = async (failure: string) => {
    const id = newId('launched');
    t.teardown(async () => {
      for (const pid of await marked(id)) process.kill(pid, 'SIGKILL');
    });
    const { cmdbName: cmdb, ports } = options;
    const own = { secret: newSecret(), uid: process.getuid?.() ?? 0 };
    const self = { v: 1, ...own, id, app: 'shop', revision: 'r', cmdb, host: '127.0.0.1', port: ports.from } as const;
    const identity = await launcher.start({
      record: { ...self, booter: identify(process.pid) },
      command: {
        program: '/bin/sleep',
        args: ['100'],
        env: { FASTCONTAINER_INSTANCE: id, FASTCONTAINER_MARKER: own.secret, FAILURE: failure },
      },
      output: { fd: file.fd, path },
      onExit: (cause) => void told.push(`${id} ${cause}`),
      onOrphaned: ({ pid }) => void told.push(`${id} orphaned ${pid}`),
    });
    return { id, pid: identity.pid };
  };
  t.teardown(async () => {
    await launcher.close();
    await file.close();
  });
  await start('');
  return { start, told, pid: await readyLauncher(processes), log };
}
