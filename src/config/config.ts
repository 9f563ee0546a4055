import type { App } from '../model/app.js';
import type { SharedKeys } from '../model/app-keys.js';
import type { Parsed } from '../model/schema/parsed.js';
import type { ListenAddress, ListenSocket, PublicAddress } from './listen-address.js';
import type { Problem } from './problem.js';
import type { Places } from './reading.js';
import type { mainSchema } from './schema/main-file.js';

/** What the main file says, with its defaults. */
export type Main = Parsed<typeof mainSchema>;

/** The main file with defaults put in. Durations are milliseconds, paths of data are absolute. */
export interface Settings {
  readonly listen: { readonly http: readonly PublicAddress[]; readonly https: readonly PublicAddress[] };
  readonly tls: TlsSettings;
  readonly admin: {
    readonly listen: ListenAddress | ListenSocket;
    readonly socket: Main['admin']['socket'];
    readonly token?: string;
    readonly tokens: Main['admin']['tokens'];
  };
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
    readonly oci: OciSettings;
  };
  readonly http: Main['http'];
  /** IP addresses and subnets in CIDR notation. */
  readonly trustedProxies: Main['trustedProxies'];
  /** For all apps together; the rest of `wake` is the apps'. */
  readonly wake: { readonly budget: Pick<Main['wake']['budget'], 'perClient' | 'total'> };
  readonly boot: Main['boot'] & { readonly concurrency: number };
  /** Absent: memory is not watched. */
  readonly memory: Main['memory'];
  /** Apps that may vanish from the files at once; absent: see removalFault. */
  readonly maxRemovals?: number;
  readonly log: { readonly level: LogLevel };
  readonly usage: Main['usage'];
  /** Absent: requests are not logged. `file` is absolute, or `stdout`. */
  readonly accessLog?: Main['accessLog'] & { readonly file: string };
  /** As they are written: what completes an app that is put by API. */
  readonly plans: Readonly<Record<string, SharedKeys>>;
  readonly defaults: SharedKeys;
}

/** Patterns and paths are absolute. */
export interface TlsSettings {
  readonly certificates: readonly string[];
  readonly default?: string;
  readonly unknown: Main['tls']['unknown'];
  /** Absent: no certificate is ordered. */
  readonly acme?: AcmeSettings;
  readonly handshakeTimeoutMs: number;
}

export interface AcmeSettings {
  readonly key: string;
  readonly email?: string;
  /** The first is asked first. */
  readonly authorities: readonly AuthoritySettings[];
  /** Absent: no wildcards are ordered. */
  readonly dns?: { readonly command: readonly string[]; readonly user?: string; readonly timeoutMs: number };
}

export interface AuthoritySettings {
  readonly directory: string;
  readonly caFile?: string;
  readonly eab?: { readonly kid: string; readonly hmac: string };
}

export type LogLevel = Main['log']['level'];

export type ProcessSettings = Main['runtimes']['process'] & { readonly stateDir: string; readonly scratchDir: string };

export type OciSettings = Omit<Main['runtimes']['oci'], 'diskSizeBytes' | 'imageSizeBytes' | 'imagesSizeBytes'> & {
  readonly stateDir: string;
  readonly diskBytes: number;
  readonly imageBytes: number;
  readonly imagesBytes: number;
};

type DockerKeys = 'socketPath' | 'network' | 'subnet' | 'allowSharedNetwork' | 'allowHost' | 'hostRules';

/** `socketPath`, of the engine's UNIX socket, or `host`. */
export interface DockerSettings extends Pick<Main['runtimes']['docker'], DockerKeys> {
  readonly host?: string;
  readonly port?: number;
  /** Paths of PEM files. Present: TLS. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  readonly diskBytes: number;
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
