import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { accepts, freePort } from '../free-port.js';
import { findProgram } from '../programs-on-path.js';
import type { Relay } from './relay.js';

/** nginx's proxy_pass with connections to the upstream kept, and the headers that the dispatcher sets too. */
export const nginxRelay: Relay = {
  name: 'nginx',
  needs: { program: 'nginx', package: 'nginx-light' },
  async start({ processes, dir, pinned, upstreamPort }) {
    const port = await freePort();
    const file = join(dir, 'nginx.conf');
    writeFileSync(file, configuration(dir, port, upstreamPort));
    const started = processes.start('nginx', [...pinned, findProgram('nginx') ?? 'nginx', '-c', file]);
    await accepts(port, started);
    return { pid: started.pid, port };
  },
};

function configuration(dir: string, port: number, upstreamPort: number): string {
  return `daemon off;
worker_processes 1;
pid ${dir}/nginx.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path ${dir}/nginx-body;
  proxy_temp_path ${dir}/nginx-proxy;
  fastcgi_temp_path ${dir}/nginx-fastcgi;
  uwsgi_temp_path ${dir}/nginx-uwsgi;
  scgi_temp_path ${dir}/nginx-scgi;
  upstream app {
    server 127.0.0.1:${upstreamPort};
    keepalive 128;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
    }
  }
}
`;
}
