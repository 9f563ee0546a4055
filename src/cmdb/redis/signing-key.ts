import { signedElsewhere } from '../signed-elsewhere.js';
import { askRedis } from './ask.js';
import type { ConnectOptions } from './connect.js';
import { Keys } from './keys.js';

/** Says how to move this installation to another key. */
export function remedyFor(keys: Keys): string {
  return `to go over to another key, stop all machines and delete the key ${keys.signingKey} of Redis`;
}

/** What is wrong with this machine's signing key; undefined if nothing is, or if nothing is signed there yet. */
export async function redisKeyProblem(
  options: Omit<ConnectOptions, 'timeLimitMs'> & { readonly name: string },
  keyId: string,
): Promise<string | undefined> {
  const keys = new Keys(options.name);
  const theirs = await askRedis(options, (_node, client) => client.get(keys.signingKey));
  return theirs === null || theirs === keyId ? undefined : signedElsewhere(theirs, keyId, remedyFor(keys));
}
