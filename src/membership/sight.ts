import type { Session } from '../cmdb/cmdb.js';
import type { Sight } from '../model/instance.js';

/** What the node of a session sees. */
export function sightOf({ host, runtimes }: Pick<Session, 'host' | 'runtimes'>): Sight {
  return { host, runtimeIds: { get: (name) => runtimes?.[name]?.id } };
}

/**
 * Sessions of daemons on this machine, under its name, that run their containers elsewhere, in another state directory or on another
 * engine: each would take what the other runs for gone.
 */
export function strangersTo(mine: Session, sessions: readonly Session[]): Session[] {
  return sessions.filter(
    (other) =>
      other.host === mine.host &&
      other.process.bootId === mine.process.bootId &&
      other.incarnation !== mine.incarnation &&
      differing(mine, other) !== undefined,
  );
}

/** Whether two processes share a pid namespace, so that one that is not proved dead lives. */
export function isHere(other: Session['process'], mine: Session['process']): boolean {
  return mine.pidNamespace !== undefined && mine.pidNamespace !== '' && other.pidNamespace === mine.pidNamespace;
}

export function explainStranger(mine: Session, other: Session): string {
  const name = differing(mine, other) ?? '';
  const [ours, theirs] = [mine.runtimes?.[name]?.place, other.runtimes?.[name]?.place];
  return (
    `another daemon of this machine (process ${other.process.pid}) has the same node.host, '${mine.host}', and the same store, but runs its ` +
    `${name} apps in ${theirs}, this one in ${ours}: neither sees what the other runs. Give each a node.host of its own, or both the same place`
  );
}

function differing({ runtimes = {} }: Session, other: Session): string | undefined {
  return Object.keys(runtimes).find((name) => {
    const id = other.runtimes?.[name]?.id;
    return id !== undefined && id !== runtimes[name]?.id;
  });
}
