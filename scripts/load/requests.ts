import { Agent } from 'node:http';
import { exchange } from './exchange.js';
import { expectFrom, WrongAnswer } from './failure.js';
import type { Load } from './load.js';

/**
 * Small requests, most of them on kept connections. Each carries a number that the app says again beside its own name: an
 * answer that belongs to another request, or to another app, is a failure.
 */
export function requests(): Load & { close(): void } {
  const agent = new Agent({ keepAlive: true, maxFreeSockets: 16 });
  return {
    kind: 'request',
    close: () => agent.destroy(),
    async once({ port, nextApp, random }, trace) {
      const app = nextApp();
      const nonce = String(random()).slice(2);
      const keeps = random() < 0.8;
      const path = `/echo?nonce=${nonce}`;
      const answer = await exchange({ port, app, path, trace, ...(keeps ? { agent } : {}) });
      const said = JSON.parse(answer.body.toString()) as { nonce: string; instance: string };
      if (said.nonce !== nonce) throw new WrongAnswer(`the answer of another request: ${said.nonce}`);
      expectFrom(app, said.instance);
      return { kind: 'request', cold: answer.cold, ms: answer.ms };
    },
  };
}
