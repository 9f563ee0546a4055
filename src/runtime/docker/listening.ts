import { connect } from 'node:net';
import type { Address } from '../../model/instance.js';

const limitMs = 1_000;

/**
 * Whether a container itself listens. Its published port does not tell, as Docker's proxy accepts connections before the app does, so
 * this connects to the container's own address; undefined if that cannot be reached.
 */
export interface OwnListening {
  at(address: Address): Promise<boolean | undefined>;
}

/** Timeouts before the network counts as unreachable: a single one may only mean a busy host. */
const mostSilences = 3;

/** `isRemote`: addresses of the engine's network may belong to other machines here. */
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
      // The container is starting, or the host is busy: the caller asks again.
      if (reach === 'proved') return false;
      silences += 1;
      if (outcome === 'silent' && silences < mostSilences) return false;
      // Remembered, as a daemon in another network namespace would time out with each boot.
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
