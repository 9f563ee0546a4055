/** Keys of other tools, the key that an app has for the same here, and what to write. */
const meant: Readonly<Record<string, readonly [key: string, advice: string]>> = {
  ...each(['environment', 'env_vars', 'envVars'], 'env', 'write env: { NAME: value }'),
  ...each(
    ['env_file', 'envFile'],
    'env',
    "write env: { NAME: '${NAME}' }, which is read from the daemon's environment",
  ),
  ...each(['volumes', 'volume', 'binds'], 'mounts', 'write mounts: [{ source: /srv/hello, target: /data }]'),
  ...each(['ports', 'expose'], 'port', 'write port: the one on which the app listens; requests come by its domains'),
  ...each(['replicas', 'deploy', 'instances'], 'scale', 'write scale: { min: 0, max: 3 }'),
  ...each(
    ['healthcheck', 'health', 'healthCheck', 'readinessProbe', 'livenessProbe'],
    'readiness',
    'write readiness: { http: /healthz }',
  ),
  ...each(['container_name', 'service', 'app'], 'domains', 'write name'),
  ...each(
    ['hostname', 'host', 'hosts', 'server_name', 'virtual_host'],
    'domains',
    'write domains: [hello.example.org]',
  ),
  ...each(['img', 'container', 'docker_image', 'build'], 'image', 'write image: the name of an image that is built'),
  ...each(['entrypoint', 'cmd', 'args', 'exec'], 'command', 'write command: [program, argument]'),
  ...each(['working_dir', 'workdir', 'workingDir', 'directory'], 'cwd', 'write cwd'),
  ...each(
    ['mem_limit', 'memory', 'memory_limit', 'cpus', 'cpu', 'pids_limit', 'resources', 'ulimits'],
    'limits',
    'write limits: { memory: 256m, cpus: 0.5 }',
  ),
  ...each(['read_only', 'readonly'], 'readOnly', 'write readOnly'),
  ...each(['stop_grace_period', 'stop_timeout'], 'stopTimeout', 'write stopTimeout'),
  ...each(['ttl', 'idle_timeout', 'idleTimeout', 'sleep_after'], 'idleTtl', 'write idleTtl'),
  ...each(
    ['restart', 'restart_policy'],
    'domains',
    'leave it out: an app that ended is booted again when it is asked for',
  ),
  ...each(
    ['depends_on', 'links'],
    'domains',
    'leave it out: each app is booted when it is asked for; what it needs must run',
  ),
  ...each(
    ['networks', 'network_mode', 'network'],
    'domains',
    'leave it out: runtimes.docker.network in the main file says it',
  ),
  ...each(
    ['services', 'version'],
    'domains',
    'this is a file for docker compose; here each app is a document of its own, with name, domains and runtime',
  ),
};

/** What to write instead of an unknown key, if it is one of another tool's; `known` are the keys of its mapping. */
export function adviceFor(key: string, known: readonly string[]): string | undefined {
  const [here, advice] = Object.hasOwn(meant, key) ? (meant[key] as readonly [string, string]) : [];
  return here !== undefined && known.includes(here) ? advice : undefined;
}

function each(keys: readonly string[], key: string, advice: string): Record<string, readonly [string, string]> {
  return Object.fromEntries(keys.map((foreign) => [foreign, [key, advice]]));
}
