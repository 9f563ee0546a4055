import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { findProgram } from './programs-on-path.js';

export interface UpstreamApp {
  readonly name: 'nginx' | 'node';
  /** A command that answers twelve bytes on HOST and PORT of its environment. */
  readonly command: readonly string[];
}

/** The fastest upstream of this machine, so that it is not what limits a relay: nginx where it is installed, else node. */
export function fastUpstream(dir: string, pinned: readonly string[]): UpstreamApp {
  const nginx = findProgram('nginx');
  if (nginx === undefined) {
    return { name: 'node', command: [...pinned, process.execPath, resolve('dist/bench/programs/upstream.js')] };
  }
  const script = join(dir, 'upstream.sh');
  writeFileSync(
    script,
    `set -eu\ncat >"${dir}/upstream.conf" <<END\n${configuration(dir)}END\nexec ${nginx} -c "${dir}/upstream.conf"\n`,
  );
  return { name: 'nginx', command: [...pinned, 'sh', script] };
}

/** The shell fills in where to listen. */
function configuration(dir: string): string {
  return `daemon off;
worker_processes 1;
pid ${dir}/upstream.pid;
error_log stderr error;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_timeout 1h;
  keepalive_requests 1000000000;
  client_body_temp_path ${dir}/upstream-body;
  proxy_temp_path ${dir}/upstream-proxy;
  fastcgi_temp_path ${dir}/upstream-fastcgi;
  uwsgi_temp_path ${dir}/upstream-uwsgi;
  scgi_temp_path ${dir}/upstream-scgi;
  default_type text/plain;
  server {
    listen $HOST:$PORT;
    location / { return 200 "hello world\\\\n"; }
  }
}
`;
}
