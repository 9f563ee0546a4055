import { createLogger } from './cli/logger.js';
import { runWorker } from './workers/worker.js';

// A worker of a daemon; its supervisor starts it. Not process.exitCode: see main.ts.
process.exit(await runWorker(createLogger));
