import { dropInherited, parseDescriptors } from './machine/descriptors.js';

/** The channel to its supervisor, by the convention of child_process.fork. */
const channelFd = 3;

// A worker of a daemon; its supervisor starts it. The store is among what it would inherit, before it opens its own.
dropInherited(parseDescriptors(process.env['FASTCONTAINER_INHERITED']), [channelFd]);
delete process.env['FASTCONTAINER_INHERITED'];
const { createLogger } = await import('./cli/logger.js');
const { runWorker } = await import('./daemon/workers/worker.js');
// Not process.exitCode: see main.ts.
process.exit(await runWorker(createLogger));
