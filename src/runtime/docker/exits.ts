import type { Logger } from 'pino';
import type { Exit } from '../runtime.js';
import { exitCause, inspectContainer, runs, timeAt } from './container.js';
import type { Engine } from './engine.js';
import { exitCodeCause } from './exit-code.js';
import { type Owner, labels } from './labels.js';
import { listOwn } from './list.js';
import { at, idAt, textAt } from './reply.js';

/** Tracks which containers run, by events and listings; reports each exit once. */
export interface Exits {
  /** Calls `onExit` with each exit from now on. Returns the unsubscriber. */
  subscribe(onExit: (exit: Exit) => void): () => void;
  /** Call it for a container that was started here: its exit is then reported even if its start event was missed. */
  started(containerId: string, exit: Omit<Exit, 'cause'>): void;
  /** Handles a message of the engine's event stream. */
  take(event: unknown): void;
  /** Compares with what the engine lists now, and reports exits whose events were missed. */
  catchUp(): Promise<void>;
}

interface ExitsOptions {
  readonly owner: Owner;
  readonly logger: Logger;
}

export function trackExits(engine: Engine, { owner, logger }: ExitsOptions): Exits {
  const subscribers = new Set<(exit: Exit) => void>();
  const running = new Map<string, Omit<Exit, 'cause'>>();
  /** Ended but not yet removed: a late start event must not revive them. */
  const ended = new Set<string>();

  const start = (containerId: string, exit: Omit<Exit, 'cause'>) => {
    if (!ended.has(containerId)) running.set(containerId, exit);
  };
  const end = (containerId: string, cause: string, endedAt?: number) => {
    const exit = running.get(containerId);
    if (!exit) return;
    running.delete(containerId);
    ended.add(containerId);
    for (const onExit of subscribers) {
      try {
        onExit({ ...exit, cause, ...(endedAt === undefined ? {} : { endedAt }) });
      } catch (error) {
        logger.error({ err: error, app: exit.app, instance: exit.id }, 'an exit could not be handled');
      }
    }
  };
  const endAsInspected = async (containerId: string, fallback: string) => {
    const reply = await inspectContainer(engine, containerId, running.get(containerId)?.id ?? containerId).catch(
      () => undefined,
    );
    const state = at(reply, 'State');
    if (reply === undefined) end(containerId, fallback);
    else end(containerId, exitCause(state), timeAt(state, 'FinishedAt'));
  };

  return {
    started: start,
    subscribe(onExit) {
      const subscriber = (exit: Exit) => onExit(exit);
      subscribers.add(subscriber);
      return () => void subscribers.delete(subscriber);
    },
    take(event) {
      const containerId = idAt(event, 'Actor', 'ID');
      const id = textAt(event, 'Actor', 'Attributes', labels.instance);
      const app = textAt(event, 'Actor', 'Attributes', labels.app);
      if (containerId === undefined || id === undefined || app === undefined) return;
      const exitCode = at(event, 'Actor', 'Attributes', 'exitCode');
      switch (textAt(event, 'Action')) {
        case 'start':
          // It may run again, for example after `docker start` by hand.
          ended.delete(containerId);
          return start(containerId, { id, app });
        case 'die':
          // The event does not say whether it was killed for lack of memory.
          if (String(exitCode) === '137') return void endAsInspected(containerId, exitCodeCause(137));
          return end(containerId, exitCodeCause(exitCode));
        case 'destroy':
          end(containerId, 'removed');
          ended.delete(containerId);
          return;
        default:
          return;
      }
    },
    async catchUp() {
      const before = [...running.keys()];
      const listed = await listOwn(engine, owner);
      const present = new Map(listed.map((entry) => [idAt(entry, 'Id') ?? '', entry]));
      for (const containerId of ended) if (!present.has(containerId)) ended.delete(containerId);
      for (const containerId of before) {
        const entry = present.get(containerId);
        if (entry === undefined) end(containerId, 'removed');
        else if (!runs(entry)) await endAsInspected(containerId, 'unknown');
      }
      for (const [containerId, entry] of present) {
        const id = textAt(entry, 'Labels', labels.instance);
        const app = textAt(entry, 'Labels', labels.app);
        if (id !== undefined && app !== undefined && runs(entry)) start(containerId, { id, app });
      }
    },
  };
}
