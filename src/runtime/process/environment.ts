import type { InstanceSpec } from '../runtime.js';

/** Every process is started with this entry in its environment, and so are its children unless they clear it. */
export function marker(id: string): string {
  return `FASTCONTAINER_INSTANCE=${id}`;
}

export interface EnvironmentOptions {
  readonly spec: InstanceSpec;
  readonly cmdbName: string;
  readonly host: string;
  readonly port: number;
  /** Home of the user it runs as. */
  readonly home: string;
}

/** What an app is told, its own settings, and of the dispatcher's environment only what a program needs to run at all. */
export function environment({ spec, cmdbName, host, port, home }: EnvironmentOptions): Record<string, string> {
  const { id, app, revision } = spec;
  const inherited = ['PATH', 'LANG', 'TZ'].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  const [name, value] = marker(id).split('=') as [string, string];
  return {
    ...Object.fromEntries(inherited),
    HOME: home,
    ...app.env,
    HOST: host,
    PORT: String(port),
    [name]: value,
    FASTCONTAINER_APP: app.name,
    FASTCONTAINER_REVISION: revision,
    FASTCONTAINER_CMDB: cmdbName,
  };
}
