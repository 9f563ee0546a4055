import { resolve } from 'node:path';
import type { Logger } from 'pino';
import type { Config } from '../config/config.js';
import { ConfigHealth } from '../config/config-health.js';
import { ConfigError, formatProblem } from '../config/problem.js';
import { ConfigThread } from '../config/reader/config-thread.js';
import { type ConfigWatch, watchConfig } from '../config/watch-config.js';
import type { Addresses, createDaemon, Daemon, DaemonOptions } from '../daemon/daemon.js';
import type { LeftRunning } from '../terminate/left-running.js';
import { superviseLifetime } from './lifetime.js';
import { createLogger } from './logger.js';
import { configEnvironment, exampleFile } from './package-directory.js';
import { version } from './version.js';
import { explainStartError } from './start-error.js';

export interface StartOptions {
  readonly config: string;
  /** No option named the file: it is the first of the usual ones. */
  readonly isUsual?: boolean;
  readonly stopApps: boolean;
}

/** Apps that the last log line names. */
const mostNamed = 10;

/** Serves until a signal ends it; resolves to the exit code. `create` builds the daemon; by default src/daemon/daemon.ts does. */
export async function start(options: StartOptions, create?: typeof createDaemon): Promise<0 | 1> {
  const files = new ConfigThread({ file: options.config, env: configEnvironment(process.env) });
  const config = await files.load().catch(printProblems);
  if (!config) return files.close().then(() => 1);
  const health = new ConfigHealth(config);
  const terminal = process.stdout.isTTY;
  const logger = await createLogger(config.log.level, terminal);
  if (options.isUsual) logger.info({ config: config.file }, `the main file is ${config.file}`);
  const construct = create ?? (await constructorFor(config, terminal));
  const { stopApps } = options;
  let daemon: Daemon;
  let watching: ConfigWatch | undefined;
  let left: LeftRunning | undefined;
  const lifetime = superviseLifetime({
    source: process,
    logger,
    close: async () => {
      left = await daemon.close();
    },
    destroy: () => daemon.destroy(),
    hasTerminal: terminal && process.stdin.isTTY,
    reload: () => void reload(watching, logger),
  });
  try {
    daemon = construct({ config, logger, stopApps, version: version(), onFatal: lifetime.fail, health });
  } catch (err) {
    lifetime.release();
    await files.close();
    logger.fatal({ err }, explainStartError(err, config));
    return 1;
  }
  const { ended } = lifetime;
  const started = daemon.start().then(
    (addresses) => {
      announce(logger, config, addresses, terminal || isExample(config.file));
      watching = follow(daemon, { logger, config, health, load: (changed) => files.load(changed) });
      return ended;
    },
    (err: unknown) => giveUp(daemon, logger, config, err),
  );
  const code = await Promise.race([ended, started]);
  await Promise.all([watching?.close(), files.close()]);
  lifetime.release();
  if (code === 0 && !stopApps) logger.info({ ...left }, lastLine(left));
  return code;
}

function lastLine(left: LeftRunning | undefined): string {
  const advice = 'the next start finds them; with --stop-apps the daemon ends them when it stops';
  if (left === undefined) return `containers that ran are left running: ${advice}`;
  const { containers, apps } = left;
  if (containers === 0) return 'no container is left running';
  const more = apps.length > mostNamed ? ` and ${apps.length - mostNamed} more` : '';
  const whose = `${apps.length === 1 ? 'app' : 'apps'} ${apps.slice(0, mostNamed).join(', ')}${more}`;
  return `${containers === 1 ? 'one container is' : `${containers} containers are`} left running (${whose}): ${advice}`;
}

/** One process does everything; several have a supervisor. */
async function constructorFor({ workers }: Config, pretty: boolean): Promise<typeof createDaemon> {
  if (workers === 1) return (await import('../daemon/daemon.js')).createDaemon;
  const { createSupervisor } = await import('../daemon/workers/supervisor.js');
  return (options: DaemonOptions) => createSupervisor({ ...options, pretty });
}

function printProblems(error: unknown): undefined {
  if (!(error instanceof ConfigError)) throw error;
  for (const problem of error.problems) process.stderr.write(`${formatProblem(problem)}\n`);
}

async function giveUp(daemon: Daemon, logger: Logger, config: Config, err: unknown): Promise<1> {
  logger.fatal({ err }, explainStartError(err, config));
  await daemon.destroy().catch((error: unknown) => logger.error({ err: error }, 'could not end cleanly'));
  return 1;
}

interface Followed {
  readonly logger: Logger;
  readonly config: Config;
  readonly health: ConfigHealth;
  readonly load: (changed?: readonly string[]) => Promise<Config>;
}

function follow(daemon: Daemon, { logger, config, health, load }: Followed): ConfigWatch {
  if (config.problems.length > 0) logProblems(logger, config.problems);
  let told = logNotices(logger, config.notices, []);
  return watchConfig({
    config,
    load: async (changed) => {
      const next = await load(changed);
      health.read(next);
      told = logNotices(logger, next.notices, told);
      return next;
    },
    onConfig: async (next, changes) => {
      await daemon.reload(next);
      logger.level = next.log.level;
      const more = changes.length > mostChanges && { more: changes.length - mostChanges };
      logger.info({ changes: changes.slice(0, mostChanges), ...more }, `configuration reloaded: ${summary(changes)}`);
    },
    onError: (error) => {
      health.refused(error);
      logReloadError(logger, error);
    },
    onProblems: (problems) => logProblems(logger, problems),
    onRestored: () => logger.info('the configuration is valid again and in force'),
  });
}

/** Changes or problems that one log line names. */
const mostChanges = 20;

function logProblems(logger: Logger, problems: Config['problems']): void {
  logger.error(
    { problems: problems.slice(0, mostChanges) },
    `app files are wrong; what they said last stays in force, all others are applied: ${summary(problems.map(formatProblem))}`,
  );
}

/** Logs each notice once, as long as it applies. */
function logNotices(logger: Logger, notices: readonly string[], told: readonly string[]): readonly string[] {
  for (const notice of notices) if (!told.includes(notice)) logger.warn(notice);
  return notices;
}

function logReloadError(logger: Logger, error: Error): void {
  if (error instanceof ConfigError) {
    const { problems } = error;
    logger.error(
      { problems: problems.slice(0, mostChanges) },
      `configuration not reloaded, the old one stays in force: ${summary(problems.map(formatProblem))}`,
    );
  } else {
    logger.error({ err: error }, `configuration not reloaded: ${error.message}`);
  }
}

async function reload(watching: ConfigWatch | undefined, logger: Logger): Promise<void> {
  // During the start there is nothing to reload: the watch begins with reading the files again.
  if ((await watching?.reload()) === 'unchanged') logger.info('SIGHUP: the configuration has not changed');
}

function summary(lines: readonly string[]): string {
  const shown = lines.slice(0, 5).join('; ');
  return lines.length > 5 ? `${shown}; and ${lines.length - 5} more` : shown;
}

function announce(
  logger: Logger,
  config: Config,
  { https, ...others }: Addresses & { readonly admin: string },
  withHint: boolean,
): void {
  logger.info({ ...others, ...(https.length > 0 && { https }), apps: config.apps.length }, 'listening');
  const hint = withHint ? curlLine(config, others.http[0]) : undefined;
  if (hint) logger.info(`try: ${hint}`);
}

function curlLine({ apps }: Config, address = ''): string | undefined {
  const domain = apps.flatMap(({ domains }) => domains).find((name) => !name.startsWith('*.'));
  const port = /:(\d+)\/?$/.exec(address)?.[1];
  return domain && port && `curl -H 'Host: ${domain}' http://127.0.0.1:${port}/`;
}

/** Whether this is the example of the package. */
function isExample(file: string): boolean {
  return resolve(file) === exampleFile;
}
