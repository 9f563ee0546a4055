import { resolve } from 'node:path';
import { accepts, freePort } from '../free-port.js';
import type { Relay } from './relay.js';

/** http-proxy with an agent that keeps connections: what a dispatcher in node would be built with otherwise. */
export const httpProxyRelay = nodeRelay('http-proxy, keep-alive agent', 'http-proxy.js');

/** node:http in front, undici's dispatch behind, and nothing between: the dispatcher's parts without the dispatcher. */
export const undiciRelay = nodeRelay('node:http + undici dispatch', 'undici.js');

function nodeRelay(name: string, file: string): Relay {
  return {
    name,
    async start({ processes, pinned, upstreamPort }) {
      const port = await freePort();
      const program = resolve('dist/bench/programs', file);
      const target = `http://127.0.0.1:${upstreamPort}`;
      const started = processes.start(name, [...pinned, process.execPath, program, target, String(port)]);
      await accepts(port, started);
      return { pid: started.pid, port };
    },
  };
}
