import type { Worker } from 'node:cluster';

interface ClusterMessage {
  readonly cmd?: string;
  readonly act?: string;
  readonly seq?: number;
  readonly ack?: number;
}

interface Handle {
  close(): void;
}

/**
 * Gives the connections that a worker was handed, and did not take before it ended, to another one. node:cluster forgets
 * them and keeps them open, so that their clients would wait for ever. Nothing of such a request was read: none is lost.
 * It is done by the messages that node:cluster exchanges, as of Node 20 to 24 (lib/internal/cluster/round_robin_handle.js);
 * were they others one day, nothing would happen here. `mayBeTaken`: whether there is, or will be, another worker for them.
 */
export function handOnWhatItLeaves(worker: Worker, mayBeTaken: () => boolean): void {
  const child = worker.process;
  const waiting = new Map<number, Handle>();
  const send = child.send.bind(child) as (message: ClusterMessage, handle?: unknown, ...rest: unknown[]) => boolean;
  child.send = (message: ClusterMessage, handle?: unknown, ...rest: unknown[]) => {
    const isConnection = message.cmd === 'NODE_CLUSTER' && message.act === 'newconn' && message.seq !== undefined;
    if (isConnection) waiting.set(message.seq, handle as Handle);
    return send(message, handle, ...rest);
  };
  child.on('internalMessage', ({ cmd, ack }: ClusterMessage) => {
    if (cmd === 'NODE_CLUSTER' && ack !== undefined) waiting.delete(ack);
  });
  const handOn = () => {
    for (const [ack, handle] of waiting) {
      waiting.delete(ack);
      if (mayBeTaken()) child.emit('internalMessage', { cmd: 'NODE_CLUSTER', ack, accepted: false });
      else handle.close();
    }
  };
  // After node:cluster's own listeners, which take the dead worker out of those that are served.
  child.once('disconnect', handOn);
  child.once('exit', handOn);
}
