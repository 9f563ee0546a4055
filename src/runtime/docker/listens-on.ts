import { readFile } from 'node:fs/promises';
import { allProcesses, forEachProcess } from '../../machine/proc-fs.js';
import { addressesOf, listeningSockets } from '../../machine/proc-net.js';
import { findContainer, type Place } from './container.js';
import type { Engine } from './engine.js';
import { at } from './reply.js';

/** Address of the engine's name server inside each container. */
const engineDns = '127.0.0.11';

/** See Runtime.listensOn. Undefined unless the container's processes are visible on this machine. */
export async function listensOn(engine: Engine, place: Place, id: string): Promise<readonly string[] | undefined> {
  const container = await findContainer(engine, id, place);
  const pid = container && (await processOf(container.containerId, at(container.reply, 'State', 'Pid')));
  if (pid === undefined) return undefined;
  return addressesOf(listeningSockets(undefined, pid), ({ address }) => address !== engineDns);
}

/** A process of the container, by its control group: the engine's pid may be of another machine or namespace. */
async function processOf(containerId: string, told: unknown): Promise<number | undefined> {
  if (typeof told === 'number' && (await isOf(told, containerId))) return told;
  const pids = (await allProcesses()).map(({ pid }) => pid);
  const own = await forEachProcess(pids, (pid) => isOf(pid, containerId));
  return pids.find((_, index) => own[index]);
}

async function isOf(pid: number, containerId: string): Promise<boolean> {
  const groups = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '');
  return groups.includes(containerId);
}
