import type { Logger } from 'pino';
import type { Cmdb } from './cmdb/cmdb.js';
import { openLmdbCmdb } from './cmdb/lmdb.js';
import { openRedisCmdb } from './cmdb/redis.js';
import { lmdbPath } from './config/cmdb-url.js';
import type { Config } from './config/config.js';
import type { Clock } from './model/clock.js';
import { openDockerRuntime } from './runtime/docker.js';
import { openProcessRuntime } from './runtime/process.js';
import type { Runtime } from './runtime/runtime.js';

/** Throws an Error that names the place where the store cannot be opened. */
export function openCmdb({ cmdb }: Config, logger: Logger): Cmdb {
  const path = lmdbPath(cmdb.url);
  const onUnreadable = (record: string, problem: string) => {
    logger.error({ record, problem }, 'a record in the CMDB cannot be read; it is skipped');
  };
  return path === undefined ? openRedisCmdb({ ...cmdb, logger, onUnreadable }) : openLmdbCmdb({ path, onUnreadable });
}

/** Throws an Error that says what to do where the runtime cannot be used on this machine. */
export async function openRuntime(
  name: 'process' | 'docker',
  config: Config,
  logger: Logger,
  clock: Clock,
): Promise<Runtime> {
  const { cmdb, node, runtimes } = config;
  const { advertise } = node;
  const common = {
    cmdbName: cmdb.name,
    logger,
    clock,
    ...(advertise === undefined ? {} : { advertiseHost: advertise }),
  };
  if (name === 'docker') return openDockerRuntime({ ...common, ...runtimes.docker });
  const bind = advertise === undefined ? {} : { bindHost: advertise };
  return openProcessRuntime({ ...common, ...bind, ...runtimes.process });
}
