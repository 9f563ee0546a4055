import type { InstanceSpec } from '../runtime.js';

const markerName = 'FASTCONTAINER_MARKER';

/**
 * The entry in the environment of every process of an instance, which its children inherit unless they clear it. Other users can
 * neither read nor guess it.
 */
export function marker(secret: string): string {
  return `${markerName}=${secret}`;
}

export interface EnvironmentOptions {
  readonly spec: InstanceSpec;
  /** Identifies the instance's processes. */
  readonly secret: string;
  readonly cmdbName: string;
  readonly host: string;
  readonly port: number;
  /** Home of the user that it runs as. */
  readonly home: string;
  /** The instance's directory for temporary files; undefined if it has none. */
  readonly scratch: string | undefined;
}

/** The app's environment: what we tell it, its own settings, and only the basics of the dispatcher's environment. */
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
