import type { Logger } from 'pino';

export interface LifetimeOptions {
  /** Emits signals and fatal errors: `process`. */
  readonly source: NodeJS.EventEmitter;
  readonly logger: Logger;
  /** Drains. */
  readonly close: () => Promise<void>;
  /** Ends at once. */
  readonly destroy: () => Promise<void>;
  /** SIGHUP then means that its terminal was closed, and not that files are to be read again. */
  readonly hasTerminal: boolean;
  /** SIGHUP, if it runs without a terminal. */
  readonly reload: () => void;
}

export interface Lifetime {
  /** Settles once with the exit code when the process should end. Never rejects. */
  readonly ended: Promise<0 | 1>;
  /** The daemon cannot go on: destroys it (1). */
  readonly fail: (error: Error) => void;
  /** Stops listening to signals. */
  release(): void;
}

/** Longest time to destroy the daemon; then the process exits anyway. */
const destroyLimitMs = 5_000;

/**
 * SIGTERM and SIGINT drain (exit code 0), a second one destroys (1). SIGHUP reloads, or drains if the daemon has a terminal. An
 * uncaught error leaves an unknown state, so it destroys the daemon (1); containers run on.
 */
export function superviseLifetime({ source, logger, close, destroy, hasTerminal, reload }: LifetimeOptions): Lifetime {
  let stopping = false;
  let destroying = false;
  let settle: (code: 0 | 1) => void;
  const ended = new Promise<0 | 1>((resolve) => (settle = resolve));

  const destroyNow = () => {
    if (destroying) return settle(1);
    destroying = true;
    setTimeout(() => settle(1), destroyLimitMs).unref();
    destroy()
      .catch((err: unknown) => logger.error({ err }, 'could not end cleanly'))
      .finally(() => settle(1));
  };
  const onStop = (signal: string) => {
    if (stopping) {
      logger.warn({ signal }, `second ${signal}: ending at once`);
      return destroyNow();
    }
    stopping = true;
    logger.info({ signal }, `${signal}: draining; a second one ends at once`);
    close().then(
      () => destroying || settle(0),
      (err: unknown) => {
        logger.error({ err }, 'could not drain');
        destroyNow();
      },
    );
  };
  const onFatal = (err: Error) => {
    logger.fatal({ err }, 'uncaught error: ending at once, containers run on');
    destroyNow();
  };
  const onReload = () => {
    if (!stopping) reload();
  };
  const listeners: [string, (value: never) => void][] = [
    ['SIGTERM', onStop],
    ['SIGINT', onStop],
    ['SIGHUP', hasTerminal ? onStop : onReload],
    ['uncaughtException', onFatal],
    ['unhandledRejection', onFatal],
  ];
  for (const [event, listener] of listeners) source.on(event, listener as () => void);
  return {
    ended,
    fail: (err) => {
      logger.fatal({ err }, `cannot go on: ${err.message}`);
      destroyNow();
    },
    release: () => {
      for (const [event, listener] of listeners) source.off(event, listener as () => void);
    },
  };
}
