import { readFile } from 'node:fs/promises';
import { addressesOf, listeningSockets } from '../../proc-net.js';
import { findContainer, type Place } from './container.js';
import type { Engine } from './engine.js';
import { at } from './reply.js';

/** The engine's own name server, inside each container. */
const engineDns = '127.0.0.11';

/** See Runtime.listensOn. Told only of an engine on this machine, if the container's processes can be looked at. */
export async function listensOn(engine: Engine, place: Place, id: string): Promise<readonly string[] | undefined> {
  const container = await findContainer(engine, id, place);
  const pid = at(container?.reply, 'State', 'Pid');
  if (!container || typeof pid !== 'number' || !(await isOf(pid, container.containerId))) return undefined;
  return addressesOf(listeningSockets(undefined, pid), ({ address }) => address !== engineDns);
}

/** The number may be that of another machine's process, or of one in another namespace. */
async function isOf(pid: number, containerId: string): Promise<boolean> {
  const groups = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => '');
  return groups.includes(containerId);
}
