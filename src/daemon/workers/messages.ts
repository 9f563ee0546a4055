import type { Activity } from '../../model/why.js';
import type { Readiness } from '../../admin/health-routes.js';
import type { Config, LogLevel } from '../../config/config.js';
import type { Addresses, DaemonTiming, FileApp } from '../daemon.js';
import type { FoundCertificate } from '../../model/certificate.js';
import type { MetricsSnapshot } from '../../telemetry/merged-metrics.js';

/** From the supervisor to a worker. */
export type Order =
  /** Comes with the socket that all workers share for this address (formatListenAddress). */
  | { readonly kind: 'socket'; readonly address: string }
  | {
      readonly kind: 'start';
      readonly slot: number;
      readonly config: Config;
      readonly version: string;
      readonly pretty: boolean;
      readonly heartbeatMs: number;
      readonly timing: Partial<DaemonTiming> | undefined;
    }
  /** The store that the app files were last applied to; absent: none. */
  | { readonly kind: 'applied'; readonly identity?: string }
  | ({ readonly kind: 'reload'; readonly id: number } & Reload)
  /** The record of this app was changed. */
  | { readonly kind: 'see'; readonly id: number; readonly app: string }
  | { readonly kind: 'close' }
  | { readonly kind: 'destroy' }
  | { readonly kind: 'peer-died' }
  | { readonly kind: 'ask'; readonly id: number; readonly what: keyof Answers }
  /** Answers a question for certificates; `found` is absent if there are none. */
  | { readonly kind: 'certificate'; readonly id: number; readonly found?: FoundCertificate; readonly fault?: string }
  /** Certificates may be others than those that were found. */
  | { readonly kind: 'certificates-changed' }
  /** In base64; before the start as well. */
  | { readonly kind: 'ticket-keys'; readonly keys: string };

/** What of a new configuration concerns a worker that runs. */
export interface Reload {
  readonly level: LogLevel;
  /** Absent: the same as before. */
  readonly apps?: readonly FileApp[];
}

/** What a worker can be asked. */
export interface Answers {
  readonly metrics: MetricsSnapshot;
  readonly activity: readonly (readonly [instanceId: string, activity: Activity])[];
}

/** From a worker to its supervisor. */
export type Report =
  /** It hears orders from now on; what was sent before was lost. */
  | { readonly kind: 'hears' }
  | ({ readonly kind: 'listening' } & Addresses)
  /** See CertificateSource. */
  | { readonly kind: 'certificate'; readonly id: number; readonly name: string; readonly have?: string }
  | { readonly kind: 'failed'; readonly error: StartError }
  | { readonly kind: 'alive'; readonly checks: Readiness['checks'] }
  | { readonly kind: 'answer'; readonly id: number; readonly value: unknown }
  | { readonly kind: 'refused'; readonly id: number; readonly message: string };

/** Of an error what explains it: see cli/start-error.ts. */
export type StartError = Pick<NodeJS.ErrnoException, 'message' | 'code' | 'syscall'> & {
  readonly address?: string;
  readonly port?: number;
};

export function toStartError(error: unknown): StartError {
  const { message, code, syscall, address, port } = error as StartError & Error;
  const known = { code, syscall, address, port };
  return { message, ...Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined)) };
}
