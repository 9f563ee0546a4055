import type { Logger } from 'pino';
import type { Session } from '../cmdb/cmdb.js';

/** Another live machine with this one's `node.host`. */
export interface Rival {
  readonly bootId: string;
  readonly pid: number;
}

export interface HostClashOptions extends Pick<Session, 'host' | 'process'> {
  /** A rival that has not beaten for this long has gone. */
  readonly lastsMs: number;
  readonly logger: Logger;
}

/** Minimum interval between log lines. */
const logEveryMs = 60_000;

/**
 * Finds another live machine with this one's `node.host`: a session of this host beats under another boot id. One that does not
 * beat may be what this machine left before a restart.
 */
export class HostClash {
  readonly #host: string;
  readonly #bootId: string;
  readonly #lastsMs: number;
  readonly #logger: Logger;
  #loggedAt = -Infinity;
  /** Beats of the rivals' sessions at the last look; undefined before the first. */
  #seen: ReadonlyMap<string, number> | undefined;
  #rival: Rival | undefined;
  #wroteAt = -Infinity;

  constructor({ host, process, lastsMs, logger }: HostClashOptions) {
    this.#host = host;
    this.#bootId = process.bootId;
    this.#lastsMs = lastsMs;
    this.#logger = logger;
  }

  /** Takes in all sessions that the store has at `now`, in monotonic milliseconds. */
  observe(sessions: readonly Session[], now: number): void {
    const before = this.#seen;
    const rivals = sessions.filter((session) => this.#isRival(session));
    this.#seen = new Map(rivals.map(({ incarnation, beats }) => [incarnation, beats]));
    const writer = before && rivals.find(({ incarnation, beats }) => before.get(incarnation) !== beats);
    if (writer) {
      this.#wroteAt = now;
      this.#rival = { bootId: writer.process.bootId, pid: writer.process.pid };
    } else if (this.#rival && now - this.#wroteAt > this.#lastsMs) {
      this.#rival = undefined;
      this.#logger.info({ host: this.#host }, 'no other machine has the same node.host now');
    }
    if (this.#rival) this.#warn(this.#rival, now);
  }

  /** Undefined if there is none. */
  get rival(): Rival | undefined {
    return this.#rival;
  }

  /** Whether the store has sessions of this host that a rival may keep, or this machine left before a restart. */
  get isOpen(): boolean {
    return this.#rival !== undefined || (this.#seen?.size ?? 0) > 0;
  }

  /** Whether a session may be a rival's, so that its other boot id does not prove it dead. */
  protects(session: Session): boolean {
    return this.#rival !== undefined && this.#isRival(session);
  }

  /** Begins anew with another store, whose sessions may be old. */
  forget(): void {
    this.#seen = undefined;
  }

  #warn(rival: Rival, now: number): void {
    if (now - this.#loggedAt < logEveryMs) return;
    this.#loggedAt = now;
    const host = this.#host;
    this.#logger.error(
      { host, bootId: this.#bootId, rival },
      `another machine has the same node.host (${host}): set node.host to a name of its own on each and restart; until then this node ends and compares nothing, and boots no pinned app`,
    );
  }

  #isRival({ host, process: { bootId } }: Session): boolean {
    return host === this.#host && bootId !== '' && this.#bootId !== '' && bootId !== this.#bootId;
  }
}
