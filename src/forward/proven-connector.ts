import { Agent, type ClientRequestArgs } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Socket } from 'node:net';
import type { buildConnector } from 'undici';
import type { Seat } from '../uses/seat.js';

/** Names the socket at which an instance accepts connections; undefined if it does not. See `Runtime.listener`. */
export type Listener = () => Promise<string | undefined>;

/** Undefined if no other program can have the address of the seat's instance. */
export type ListenerOf = (seat: Seat) => Listener | undefined;

/** Attempts to connect to an app that is opening its port again. */
const mostTries = 3;

/**
 * Connects to an instance whose port another program could take when the app stops listening: succeeds only if the same socket of
 * the app listened before the connection was made and after. Otherwise fails with ECONNREFUSED.
 */
export function provenConnector(connect: buildConnector.connector, listener: Listener): buildConnector.connector {
  return (target, callback) => void tell(connectProven(connect, target, listener), callback);
}

/** Connects the requests of node's own HTTP client with a connector of undici. */
export class ConnectorAgent extends Agent {
  readonly #connect: buildConnector.connector;

  constructor(connect: buildConnector.connector) {
    super();
    this.#connect = connect;
  }

  override createConnection(
    { host, port }: ClientRequestArgs,
    callback?: (error: Error | null, socket: Duplex) => void,
  ): undefined {
    const hostname = host ?? '';
    this.#connect({ host: hostname, hostname, protocol: 'http:', port: String(port) }, (...[error, socket]) =>
      callback?.(error, socket as Socket),
    );
  }
}

async function tell(connecting: Promise<Socket>, callback: buildConnector.Callback): Promise<void> {
  let socket: Socket;
  try {
    socket = await connecting;
  } catch (error) {
    return callback(error as Error, null);
  }
  callback(null, socket);
}

async function connectProven(
  connect: buildConnector.connector,
  target: buildConnector.Options,
  listener: Listener,
): Promise<Socket> {
  let before = await listener();
  for (let tries = 0; before !== undefined && tries < mostTries; tries += 1) {
    const socket = await connected(connect, target);
    const after = await listener();
    if (after === before && !socket.destroyed) return socket;
    socket.destroy();
    before = after;
  }
  throw Object.assign(new Error('the instance does not listen on its port'), { code: 'ECONNREFUSED' });
}

function connected(connect: buildConnector.connector, target: buildConnector.Options): Promise<Socket> {
  return new Promise((resolve, reject) => {
    connect(target, (...[error, socket]) => (socket ? resolve(socket) : reject(error as Error)));
  });
}
