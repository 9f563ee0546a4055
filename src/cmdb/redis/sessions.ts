import type { Logger } from 'pino';
import type { Beat, Session, UnreadableReport } from '../cmdb.js';
import { readable } from '../records.js';
import { decodeSession, encodeSession } from '../session-format.js';
import type { Keys } from './keys.js';
import type { Link } from './link.js';
import { newNonce } from './nonce.js';

export interface SessionsOptions {
  readonly link: Link;
  readonly keys: Keys;
  readonly logger: Logger;
  readonly onUnreadable: UnreadableReport;
}

/** The sessions of all nodes, and what names this life of the store. */
export class Sessions {
  readonly #options: SessionsOptions;
  #mayAskServer: boolean;

  constructor(options: SessionsOptions) {
    this.#options = options;
    // A cluster has no one process: the nonce alone tells whether it is the same.
    this.#mayAskServer = !options.link.isCluster;
  }

  /** See Cmdb.beat. */
  async beat(session: Session, revoke: readonly string[]): Promise<Beat> {
    const { link, keys, onUnreadable } = this.#options;
    const first = session.beats === 0 ? '1' : '0';
    const connection = await link.connected();
    const run = await this.#run();
    const [, nonce, answer] = await link.ofAnyStore([
      ['set', keys.nonce, newNonce(), 'NX'],
      ['get', keys.nonce],
      ['fcBeat', keys.sessions, session.incarnation, encodeSession(session), first, ...revoke],
    ]);
    // Whoever waits for it goes on after the caller has seen it.
    setImmediate(() => link.identity.told(connection));
    const [revoked, flat] = answer as [number, string[]];
    const sessions: Session[] = [];
    for (let index = 0; index < flat.length; index += 2) {
      const [incarnation, text] = [flat[index] as string, flat[index + 1] as string];
      const found = readable(`session ${incarnation}`, () => decodeSession(incarnation, text), onUnreadable);
      if (found) sessions.push(found);
    }
    return { identity: `${String(nonce)}.${run}`, sessions, revoked: revoked === 1 };
  }

  /** The server process, whose change tells of a failover; '' where the user of the connection may not ask for it. */
  async #run(): Promise<string> {
    if (!this.#mayAskServer) return '';
    const { link, logger } = this.#options;
    try {
      return /run_id:(\w+)/.exec(String((await link.ofAnyStore([['info', 'server']]))[0]))?.[1] ?? '';
    } catch (error) {
      if (!(error instanceof Error) || !/NOPERM|unknown command/i.test(String(error.cause))) throw error;
      this.#mayAskServer = false;
      logger.warn('Redis forbids INFO to this user: a failover is not noticed, only a store that comes back empty');
      return '';
    }
  }
}
