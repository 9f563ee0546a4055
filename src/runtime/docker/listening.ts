import { connect } from 'node:net';
import type { Address } from '../../model/instance.js';

const limitMs = 1_000;

/**
 * Whether a container itself listens, which a port published for it does not tell: Docker's proxy takes connections before
 * there is anybody to hand them to. Asks at the container's own address; undefined if that is out of reach.
 */
export interface OwnListening {
  at(address: Address): Promise<boolean | undefined>;
}

/** So often nothing may answer before its address counts as out of reach: on a busy host a single silence says nothing. */
const mostSilences = 3;

/** `isRemote`: an address of the engine's network may be somebody else's here. */
export function ownListening(isRemote: boolean): OwnListening {
  let reach: 'unknown' | 'proved' | 'none' = isRemote ? 'none' : 'unknown';
  let silences = 0;
  return {
    async at(address) {
      if (reach === 'none') return undefined;
      const outcome = await tryConnect(address);
      if (typeof outcome === 'boolean') {
        reach = 'proved';
        return outcome;
      }
      // A container that is starting, or a host that is busy: to be asked again.
      if (reach === 'proved') return false;
      silences += 1;
      if (outcome === 'silent' && silences < mostSilences) return false;
      // A daemon in another network namespace learns that once, not with each boot.
      reach = 'none';
      return undefined;
    },
  };
}

function tryConnect({ host, port }: Address): Promise<boolean | 'silent' | 'unreachable'> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: limitMs });
    const end = (outcome: boolean | 'silent' | 'unreachable') => {
      socket.destroy();
      resolve(outcome);
    };
    socket.on('connect', () => end(true));
    socket.on('timeout', () => end('silent'));
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code === 'ECONNREFUSED' ? false : 'unreachable'));
  });
}
