import type { InstanceSpec } from '../runtime.js';

const markerName = 'FASTCONTAINER_MARKER';

/**
 * Every process of an instance is started with this entry in its environment, and so are its children unless they clear it. Other
 * users can neither read nor guess it.
 */
export function marker(secret: string): string {
  return `${markerName}=${secret}`;
}

export interface EnvironmentOptions {
  readonly spec: InstanceSpec;
  /** By which its processes are known. */
  readonly secret: string;
  readonly cmdbName: string;
  readonly host: string;
  readonly port: number;
  /** Home of the user it runs as. */
  readonly home: string;
  /** Its own directory for temporary files; undefined if it has none. */
  readonly scratch: string | undefined;
}

/** What an app is told, its own settings, and of the dispatcher's environment only what a program needs to run at all. */
export function environment({
  spec,
  secret,
  cmdbName,
  host,
  port,
  home,
  scratch,
}: EnvironmentOptions): Record<string, string> {
  const { id, app, revision } = spec;
  const inherited = ['PATH', 'LANG', 'TZ'].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return {
    ...Object.fromEntries(inherited),
    HOME: home,
    ...(scratch === undefined ? {} : { TMPDIR: scratch }),
    ...app.env,
    HOST: host,
    PORT: String(port),
    [markerName]: secret,
    FASTCONTAINER_INSTANCE: id,
    FASTCONTAINER_APP: app.name,
    FASTCONTAINER_REVISION: revision,
    FASTCONTAINER_CMDB: cmdbName,
    ...(scratch === undefined ? {} : { FASTCONTAINER_SCRATCH: scratch }),
  };
}
