import { createHash, randomBytes } from 'node:crypto';
import { exchange } from './exchange.js';
import { WrongAnswer } from './failure.js';
import type { Load } from './load.js';
import { int } from './random.js';

/** Bodies of up to `mostBytes` (2 MiB unless told) in either framing, which the app sends back: whole and in order. */
export function uploads(mostBytes = 2 * 1024 * 1024): Load {
  const block = randomBytes(mostBytes / 2);
  return {
    kind: 'upload',
    async once({ port, nextApp, random }, trace) {
      const half = block.subarray(int(random, block.length));
      const body = Buffer.concat([half, block.subarray(0, half.length)]);
      const framing: Record<string, string> =
        random() < 0.5 ? { 'content-length': String(body.length) } : { 'transfer-encoding': 'chunked' };
      const received = createHash('sha1');
      const onChunk = (chunk: Buffer) => void received.update(chunk);
      const app = nextApp();
      const told = { port, app, path: '/mirror', method: 'POST', headers: framing, body, onChunk, trace };
      const answer = await exchange(told);
      if (received.digest('hex') !== createHash('sha1').update(body).digest('hex')) {
        throw new WrongAnswer(`${body.length} bytes came back as others`);
      }
      return { kind: 'upload', cold: answer.cold, ms: answer.ms };
    },
  };
}
