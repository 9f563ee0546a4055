import { Agent } from 'node:http';
import { exchange, expectOk } from './exchange.js';
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
    async once({ port, nextApp, random }) {
      const app = nextApp();
      const nonce = String(random()).slice(2);
      const keeps = random() < 0.8;
      const answer = await exchange({ port, app, path: `/echo?nonce=${nonce}`, ...(keeps ? { agent } : {}) });
      expectOk(answer);
      const said = JSON.parse(answer.body.toString()) as { nonce: string; instance: string };
      if (said.nonce !== nonce) throw new Error(`the answer of another request: ${said.nonce}`);
      if (!said.instance.startsWith(`${app}-`)) throw new Error(`the answer of another app: ${said.instance}`);
      return { kind: 'request', cold: answer.cold, ms: answer.ms };
    },
  };
}
