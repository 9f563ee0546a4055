import type { Socket } from 'node:net';

/** Over TLS, the connection below. */
type Known = Socket & { readonly _parent?: Socket };

/** Resets a client's connection, so that it sees that what it got is not whole. */
export function reset(socket: Known): void {
  (socket._parent ?? socket).resetAndDestroy();
}
