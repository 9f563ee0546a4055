import { start } from '../../src/cli/start.js';
import { createDaemon, type DaemonTiming } from '../../src/daemon/daemon.js';

// A dispatcher with times of the protocol that operators cannot set: TIMING (JSON of DaemonTiming) CONFIG.

const [timing = '{}', config = ''] = process.argv.slice(2);
process.exitCode = await start({ config, stopApps: true }, (options) =>
  createDaemon({ ...options, timing: JSON.parse(timing) as Partial<DaemonTiming> }),
);
