import { createHash } from 'node:crypto';

/** Container technologies that a runtime adapter exists for. */
export type RuntimeName = 'process' | 'docker';

/** A host directory or file made visible inside the container. */
export interface Mount {
  readonly source: string;
  readonly target: string;
  readonly readOnly: boolean;
  /** The source is the same storage on every machine. */
  readonly shared?: boolean;
}

/** Resource limits of one instance; an absent one is unlimited. */
export interface Limits {
  /** Without swap. */
  readonly memoryBytes?: number;
  readonly cpus?: number;
  /** From 1 to 10,000, by the scale of cgroup v2; absent: 100. */
  readonly cpuWeight?: number;
  /** Processes and threads. */
  readonly pids?: number;
  /** Open files of each process. */
  readonly files?: number;
}

/** How an instance proves that it can serve: an HTTP GET answered 2xx or 3xx, or an accepted connection that stays open. */
export type Readiness = { readonly http: string } | { readonly tcp: true };

/** Three quarters: see `concurrency`. */
export const defaultClientShare = 0.75;

/**
 * What a customer owns, with plan, defaults and built-ins already merged in. Durations are milliseconds.
 * `domains` are normalised host names (lower case, punycode, no port); a leading `*.` matches one label.
 */
export interface App {
  readonly name: string;
  readonly domains: readonly string[];
  readonly runtime: RuntimeName;
  readonly command?: readonly string[];
  readonly image?: string;
  /** Where the app listens inside its container (docker). */
  readonly port?: number;
  readonly env: Readonly<Record<string, string>>;
  readonly mounts: readonly Mount[];
  /** Working directory of the command. */
  readonly cwd?: string;
  /** User the command runs as. */
  readonly user?: string;
  /** Root file system mounted read-only (docker). */
  readonly readOnly: boolean;
  /** Reach the container through a port published on the host instead of its own address (docker). */
  readonly publish: boolean;
  readonly limits: Limits;
  readonly readiness: Readiness;
  /** Whether an instance may run beside the one that it replaces; else the old one ends first and requests wait. */
  readonly overlap: boolean;
  readonly scale: { readonly min: number; readonly max: number };
  /** `clientShare`: the part of the places, from 0 to 1, that one client may have. */
  readonly concurrency: { readonly target: number; readonly max: number; readonly clientShare: number };
  readonly queue: { readonly max: number; readonly timeoutMs: number };
  readonly idleTtlMs: number;
  readonly maxLifetimeMs: number;
  readonly bootTimeoutMs: number;
  readonly drainTimeoutMs: number;
  readonly stopTimeoutMs: number;
  /** To the first response byte. */
  readonly requestTimeoutMs: number;
  readonly maxRequestBodyBytes: number;
  /** For how long an answer of the app may keep its instance awake; absent: not at all. */
  readonly maxBusyMs?: number;
  /** For how long an upgrade does not wake the app, if it comes from a client whose connection was ended for silence. */
  readonly websocket?: { readonly quietMs: number };
  /** Put on answers that the dispatcher gives in the app's place. */
  readonly errorHeaders?: Readonly<Record<string, string>>;
}

/** Keys whose change needs a new container, in the order in which `revisionOf` hashes them. */
const containerKeys = [
  'runtime',
  'command',
  'image',
  'port',
  'env',
  'mounts',
  'cwd',
  'user',
  'readOnly',
  'publish',
  'limits',
] as const satisfies readonly (keyof App)[];

/** What of an app its containers are made of. */
export type Container = Pick<App, (typeof containerKeys)[number]>;

export function containerOf(app: App): Container {
  const written = containerKeys.flatMap((key) => (app[key] === undefined ? [] : [[key, app[key]] as const]));
  return Object.fromEntries(written) as unknown as Container;
}

/** The app with containers made of something else. */
export function withContainer(app: App, container: Container): App {
  const rest = Object.fromEntries(Object.entries(app).filter(([key]) => !containerKeys.some((other) => other === key)));
  return { ...(rest as unknown as Omit<App, keyof Container>), ...container };
}

/** A short hash of everything that needs a new container when it changes; not of TTLs, queue and scale. */
export function revisionOf(app: Container): string {
  const spec = containerKeys.map((key) => stable(key, app));
  return createHash('sha256').update(JSON.stringify(spec)).digest('hex').slice(0, 12);
}

/** The same for the same content, however it is ordered. */
function stable(key: keyof Container, app: Container): unknown {
  // Whether storage is shared changes nothing in the container.
  if (key === 'mounts') return app.mounts.map(({ source, target, readOnly }) => [source, target, readOnly]);
  if (key !== 'env' && key !== 'limits') return app[key] ?? null;
  return Object.entries(app[key]).toSorted(([a], [b]) => (a < b ? -1 : 1));
}
