import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { accepts, freePort } from '../free-port.js';
import { findProgram } from '../programs-on-path.js';
import type { Relay } from './relay.js';

export const caddyRelay: Relay = {
  name: 'caddy',
  needs: { program: 'caddy', package: 'caddy' },
  async start({ processes, dir, pinned, upstreamPort }) {
    const port = await freePort();
    const file = join(dir, 'Caddyfile');
    writeFileSync(file, configuration(port, upstreamPort));
    const program = [findProgram('caddy') ?? 'caddy', 'run', '--adapter', 'caddyfile', '--config', file];
    const home = { HOME: dir, XDG_DATA_HOME: dir, XDG_CONFIG_HOME: dir };
    const started = processes.start('caddy', [...pinned, ...program], { GOMAXPROCS: '1', ...home });
    await accepts(port, started);
    return { pid: started.pid, port };
  },
};

function configuration(port: number, upstreamPort: number): string {
  return `{
  admin off
  auto_https off
  log {
    level ERROR
  }
}
http://:${port} {
  bind 127.0.0.1
  reverse_proxy 127.0.0.1:${upstreamPort} {
    transport http {
      keepalive_idle_conns_per_host 128
    }
  }
}
`;
}
