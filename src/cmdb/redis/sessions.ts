import type { Logger } from 'pino';
import { RequestError } from '../../model/errors.js';
import type { Beat, Session } from '../cmdb.js';
import type { RecordReader } from '../record-reader.js';
import { encodeSession } from '../session-format.js';
import { signedElsewhere } from '../signed-elsewhere.js';
import type { Keys } from './keys.js';
import type { Link } from './link.js';
import { newNonce } from './nonce.js';
import { remedyFor } from './signing-key.js';

export interface SessionsOptions {
  readonly link: Link;
  readonly keys: Keys;
  readonly logger: Logger;
  readonly reader: RecordReader;
  /** Id of the key that records are signed with. */
  readonly keyId: string;
}

/** The sessions of all nodes, and the store's identity. */
export class Sessions {
  readonly #options: SessionsOptions;
  #mayAskServer: boolean;

  constructor(options: SessionsOptions) {
    this.#options = options;
    // A cluster has no single process: the nonce alone identifies it.
    this.#mayAskServer = !options.link.isCluster;
  }

  /** See Cmdb.beat. */
  async beat(session: Session, revoke: readonly string[]): Promise<Beat> {
    const { link, keys, reader, keyId } = this.#options;
    const first = session.beats === 0 ? '1' : '0';
    const connection = await link.connected();
    const run = await this.#run();
    await this.#checkKey();
    const [, nonce, answer] = await link.ofAnyStore([
      ['set', keys.nonce, newNonce(), 'NX'],
      ['get', keys.nonce],
      ['fcBeat', keys.sessions, session.incarnation, encodeSession(session), first, ...revoke],
    ]);
    // What waits for the identity goes on after the caller has seen it.
    setImmediate(() => link.identity.told(connection));
    const [revoked, flat] = answer as [number, string[]];
    const sessions: Session[] = [];
    for (let index = 0; index < flat.length; index += 2) {
      const [incarnation, text] = [flat[index] as string, flat[index + 1] as string];
      const found = reader.session(incarnation, text);
      if (found) sessions.push(found);
    }
    return { identity: `${String(nonce)}.${run}.${keyId}`, sessions, revoked: revoked === 1 };
  }

  /** Throws if the records are signed with another key: this node could read none and must not overwrite any. */
  async #checkKey(): Promise<void> {
    const { link, keys, keyId } = this.#options;
    const [, theirs] = await link.ofAnyStore([
      ['set', keys.signingKey, keyId, 'NX'],
      ['get', keys.signingKey],
    ]);
    if (theirs !== keyId)
      throw new RequestError('cmdb_unavailable', signedElsewhere(String(theirs), keyId, remedyFor(keys)));
  }

  /** Id of the server process, which changes with a failover; '' if the connection's user may not ask for it. */
  async #run(): Promise<string> {
    if (!this.#mayAskServer) return '';
    const { link, logger } = this.#options;
    try {
      return /run_id:(\w+)/.exec(String((await link.ofAnyStore([['info', 'server']]))[0]))?.[1] ?? '';
    } catch (error) {
      if (!(error instanceof Error) || !/NOPERM|unknown command/i.test(String(error.cause))) throw error;
      this.#mayAskServer = false;
      logger.warn('Redis forbids INFO to this user: failovers go unnoticed, except if the store comes back empty');
      return '';
    }
  }
}
