import type {
  AppRecord,
  Beat,
  ChangeBatch,
  Cmdb,
  DeploymentChange,
  DomainConflict,
  Session,
  Updated,
} from '../../src/cmdb/cmdb.js';
import type { Clock } from '../../src/model/clock.js';
import type { Link } from './link.js';
import type { Random } from './random.js';

export interface SimCmdbOptions {
  readonly link: Link;
  /** A connection of its own for what waits. */
  readonly logLink: Link;
  readonly clock: Clock;
  readonly random: Random;
}

const changesWaitMs = 5_000;
const unknownLimitMs = 10_000;
const retryMs = 50;

/** The CMDB port over the simulated store, with the promises of the port: limits, read-back, retries. */
export class SimCmdb implements Cmdb {
  readonly #options: SimCmdbOptions;

  constructor(options: SimCmdbOptions) {
    this.#options = options;
  }

  apply(change: Parameters<Cmdb['apply']>[0]): Promise<DomainConflict[]> {
    return this.#options.link.call((store) => store.apply(change));
  }

  edit(): Promise<never> {
    throw new Error('no history edits apps');
  }

  find(query: Parameters<Cmdb['find']>[0]): Promise<AppRecord | undefined> {
    return this.#options.link.call((store) => store.find(query));
  }

  async *list(which: 'all' | 'active'): AsyncIterable<AppRecord> {
    const { link } = this.#options;
    const names = await link.call((store) => store.names(which));
    const records = await link.call((store) => names.map((name) => store.record(name)));
    for (const record of records) {
      if (record && (which === 'all' || record.deployment.instances.length > 0)) yield record;
    }
  }

  async update(app: string, change: DeploymentChange): Promise<Updated> {
    const { link, clock, random } = this.#options;
    const sent = new Map<string, Updated>();
    let unknownSince: number | undefined;
    for (;;) {
      try {
        const { app: stored, deployment: current } = await link.call((store) => store.read(app));
        const landed = sent.get(current.version);
        if (landed) return landed;
        const read = { before: current.deployment, app: stored?.app };
        const deployment = change(read.before, read.app);
        if (deployment === read.before) return { ...read, ...current };
        const next = { deployment, version: random.bytes(6).toString('hex') };
        sent.set(next.version, { ...read, ...next });
        if (await link.call((store) => store.swap(app, current.version, next))) return { ...read, ...next };
      } catch (error) {
        if (sent.size === 0 || link.isClosed) throw error;
        unknownSince ??= clock.monotonic();
        if (clock.monotonic() - unknownSince > unknownLimitMs) throw error;
        await new Promise<void>((resolve) => clock.after(retryMs, resolve));
      }
    }
  }

  async changes(position: string | undefined, signal: AbortSignal): Promise<ChangeBatch> {
    const { link, logLink } = this.#options;
    const batch = await link.call((store) => store.changes(position));
    if (position === undefined || batch.gap || batch.changes.length > 0) return batch;
    await this.#nextChange(logLink, signal);
    if (signal.aborted) return batch;
    return link.call((store) => store.changes(position));
  }

  due(now: number, limit: number): Promise<string[]> {
    return this.#options.link.call((store) => store.due(now, limit));
  }

  beat(session: Session, revoke: readonly string[] = []): Promise<Beat> {
    return this.#options.link.call((store) => store.beat(session, revoke));
  }

  ledger(): Promise<never> {
    throw new Error('no history reads the ledger');
  }

  sealed(): Promise<never> {
    throw new Error('no history seals documents');
  }

  changeSealed(): Promise<never> {
    throw new Error('no history seals documents');
  }

  usage(): never {
    throw new Error('no history asks for usage');
  }

  async close(): Promise<void> {
    this.#options.link.isClosed = true;
    this.#options.logLink.isClosed = true;
  }

  #nextChange(link: Link, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    return new Promise((resolve, reject) => {
      const stop = () => resolve();
      signal.addEventListener('abort', stop, { once: true });
      const timer = clock.after(changesWaitMs, stop);
      const settled = () => {
        timer.cancel();
        signal.removeEventListener('abort', stop);
      };
      link
        .wait<void>((store, answer) => void store.wait(() => answer(() => {})), 2 * changesWaitMs)
        .finally(settled)
        .then(resolve, reject);
    });
  }
}
