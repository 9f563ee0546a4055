import cluster, { type Worker } from 'node:cluster';

interface ClusterMessage {
  readonly cmd?: string;
  readonly act?: string;
  readonly seq?: number | string;
  readonly ack?: number | string;
  readonly errno?: number;
  readonly key?: string;
}

type Query = ClusterMessage & { readonly act: 'queryServer' };

/** No worker's: node:cluster counts them from 1. */
const keeperId = 0;
/** Names the keeper's own questions; those of workers are numbered. */
const keeperSeq = 'kept';

/**
 * Keeps the addresses open that workers listen on: node:cluster closes a listening socket with the last worker that uses it,
 * so that clients would be refused until a replacement listens. Here the supervisor stays among its users, under a
 * worker's id that nobody has, and takes no connection: what comes meanwhile waits, accepted or in the backlog, for the first
 * replacement. It is done by the messages that node:cluster exchanges, as of Node 20 to 24 (lib/internal/cluster/primary.js and
 * round_robin_handle.js); were they others one day, ports would close as they do without this.
 */
export class KeptPorts {
  readonly #keys = new Set<string>();
  /** A worker, dead or alive, whose channel leads into node:cluster. */
  #last: Worker | undefined;

  /** Whether what nobody takes waits for the next worker. */
  get areKept(): boolean {
    return this.#keys.size > 0;
  }

  /** Keeps from now on what this worker comes to listen on. Call it right after the fork. */
  watch(worker: Worker): void {
    const child = worker.process;
    const realId = worker.id;
    const queries = new Map<number | string, Query>();
    const send = child.send.bind(child) as (message: ClusterMessage, ...rest: unknown[]) => boolean;
    this.#last = worker;
    child.prependListener('internalMessage', (message: ClusterMessage) => {
      if (isQuery(message) && message.seq !== undefined) queries.set(message.seq, message);
    });
    child.send = (message: ClusterMessage, ...rest: unknown[]) => {
      const { ack = '', errno, key } = message;
      if (message.cmd !== 'NODE_CLUSTER' || key === undefined) return send(message, ...rest);
      if (ack === keeperSeq) {
        // What waits is handed to the worker itself, not to the keeper.
        worker.id = realId;
        if (!errno) this.#kept(key);
        return true;
      }
      const query = queries.get(ack);
      queries.delete(ack);
      const sent = send(message, ...rest);
      if (query && !errno && !this.#keys.has(key)) this.#speak(worker, { ...query, seq: keeperSeq });
      return sent;
    };
  }

  /** Lets go of them: each closes with the last worker that uses it, at once if there is none. */
  release(): void {
    for (const key of this.#keys) if (this.#last) this.#speak(this.#last, { cmd: 'NODE_CLUSTER', act: 'close', key });
    this.#keys.clear();
    delete cluster.workers?.[keeperId];
  }

  #kept(key: string): void {
    this.#keys.add(key);
    // If no worker is left, node:cluster takes a socket that is open for a leak, and throws.
    if (cluster.workers)
      cluster.workers[keeperId] ??= new (cluster as unknown as { Worker: new () => Worker }).Worker();
  }

  #speak(worker: Worker, message: ClusterMessage): void {
    const { id } = worker;
    worker.id = keeperId;
    worker.process.emit('internalMessage' as 'message', message, undefined as never);
    worker.id = id;
  }
}

function isQuery(message: ClusterMessage): message is Query {
  return message.cmd === 'NODE_CLUSTER' && message.act === 'queryServer';
}
