import { createHash, randomBytes } from 'node:crypto';
import { exchange, expectOk } from './exchange.js';
import type { Load } from './load.js';
import { int } from './random.js';

const block = randomBytes(1024 * 1024);

/** Bodies of up to 2 MiB in either framing, which the app sends back: both ways, whole and in order. */
export function uploads(): Load {
  return {
    kind: 'upload',
    async once({ port, nextApp, random }) {
      const half = block.subarray(int(random, block.length));
      const body = Buffer.concat([half, block.subarray(0, half.length)]);
      const framing: Record<string, string> =
        random() < 0.5 ? { 'content-length': String(body.length) } : { 'transfer-encoding': 'chunked' };
      const received = createHash('sha1');
      const onChunk = (chunk: Buffer) => void received.update(chunk);
      const app = nextApp();
      const answer = await exchange({ port, app, path: '/mirror', method: 'POST', headers: framing, body, onChunk });
      expectOk(answer);
      if (received.digest('hex') !== createHash('sha1').update(body).digest('hex')) {
        throw new Error(`${body.length} bytes came back as others`);
      }
      return { kind: 'upload', cold: answer.cold, ms: answer.ms };
    },
  };
}
