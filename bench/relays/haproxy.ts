import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { accepts, freePort } from '../free-port.js';
import { findProgram } from '../programs-on-path.js';
import type { Relay } from './relay.js';

export const haproxyRelay: Relay = {
  name: 'haproxy',
  needs: { program: 'haproxy', package: 'haproxy' },
  async start({ processes, dir, pinned, upstreamPort }) {
    const port = await freePort();
    const file = join(dir, 'haproxy.cfg');
    writeFileSync(file, configuration(port, upstreamPort));
    const started = processes.start('haproxy', [...pinned, findProgram('haproxy') ?? 'haproxy', '-db', '-f', file]);
    await accepts(port, started);
    return { pid: started.pid, port };
  },
};

function configuration(port: number, upstreamPort: number): string {
  return `global
  nbthread 1
  maxconn 4000
defaults
  mode http
  option forwardfor
  http-reuse always
  timeout client 1m
  timeout server 1m
  timeout connect 5s
frontend clients
  bind 127.0.0.1:${port}
  default_backend app
backend app
  server app 127.0.0.1:${upstreamPort}
`;
}
