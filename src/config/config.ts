import type { App } from '../model/app.js';
import type { ListenAddress, ListenSocket } from './listen-address.js';
import type { IdRange } from './id-range.js';
import type { PortRange } from './port-range.js';
import type { Problem } from './problem.js';
import type { Places } from './reading.js';

/** The main file with defaults put in. Durations are milliseconds, paths of data are absolute. */
export interface Settings {
  readonly listen: { readonly http: readonly ListenAddress[] };
  readonly admin: { readonly listen: ListenAddress | ListenSocket; readonly token?: string };
  readonly cmdb: {
    /** `lmdb:` with an absolute path, or the URL as it was written. May hold a password. */
    readonly url: string;
    readonly name: string;
    readonly caFile?: string;
    /** Absent: a key of this machine's own (signing-key.ts). */
    readonly signingKey?: string;
  };
  readonly node: { readonly host: string; readonly advertise?: string };
  readonly workers: number;
  readonly stateDir: string;
  /** Absent: apps may mount what is not the system's own or the daemon's. */
  readonly mounts: { readonly roots?: readonly string[] };
  readonly runtimes: {
    readonly process: ProcessSettings;
    readonly docker: DockerSettings;
  };
  readonly http: {
    readonly maxHeaderSizeBytes: number;
    readonly headersTimeoutMs: number;
    readonly keepAliveTimeoutMs: number;
    readonly requestBodyIdleTimeoutMs: number;
    /** Bytes per second; 0 is no bound. */
    readonly requestBodyMinRate: number;
    readonly responseStallTimeoutMs: number;
    readonly maxConnections: number;
    readonly maxConnectionsPerClient: number;
    readonly serverTiming: boolean;
  };
  /** IP addresses and subnets in CIDR notation. */
  readonly trustedProxies: readonly string[];
  readonly boot: { readonly concurrency: number; readonly maxWaiting: number };
  /** Absent: memory is not watched. */
  readonly memory: { readonly floorBytes?: number };
  /** Apps that may vanish from the files at once; absent: see removalFault. */
  readonly maxRemovals?: number;
  readonly log: { readonly level: LogLevel };
}

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

export interface ProcessSettings {
  readonly stateDir: string;
  /** Of directories for temporary files, one for each instance. */
  readonly scratchDir: string;
  readonly ports: PortRange;
  /** For apps with `user: auto`. */
  readonly users: IdRange;
  /** Apps may have groups of the daemon that are as good as root. */
  readonly inheritGroups: boolean;
  /** Apps that a control group does not hold for certain get a pid namespace, if the machine allows it. */
  readonly pidNamespace: boolean;
}

export interface DockerSettings {
  /** Of the engine's UNIX socket; absent with `host`. */
  readonly socketPath?: string;
  readonly host?: string;
  readonly port?: number;
  /** Paths of PEM files. Present: TLS. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  readonly network: string;
  readonly subnet?: string;
  readonly diskBytes: number;
  readonly allowSharedNetwork: boolean;
  /** Ports, such as `3306` or `53/udp`. */
  readonly allowHost: readonly string[];
  readonly hostRules: 'auto' | 'off';
}

/** Everything the files say. */
export interface Config extends Settings {
  /** Absolute path of the main file. */
  readonly file: string;
  /** Those of sound files, and of the held ones what was known of them last. */
  readonly apps: readonly App[];
  /** Absolute path of the file of each app, by its name; those of held apps as well. */
  readonly appFiles: Readonly<Record<string, string>>;
  /** Names of apps from files that customers write. */
  readonly customerApps: readonly string[];
  /** Names of apps that their files do not say soundly now: what the store has of them stays. */
  readonly heldApps: readonly string[];
  /** What is wrong with app files. */
  readonly problems: readonly Problem[];
  /** Settings that are allowed and probably a mistake, in words. */
  readonly notices: readonly string[];
  readonly places: Places;
}
