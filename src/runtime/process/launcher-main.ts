import { closeSync, constants, openSync } from 'node:fs';
import type { ProcessIdentity } from '../../proc-fs.js';
import { startChild } from './child.js';
import type { LaunchOrder, LauncherReport } from './launcher-messages.js';

/**
 * The launcher: starts processes for its dispatcher, which is too large to fork fast (docs/decisions/launcher.md). It stays as
 * small as it can, so it imports next to nothing.
 */
const dispatcher = process.ppid;

// It ends with its dispatcher, which may drain for a while when the whole service gets a signal.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
process.on('disconnect', () => process.exit());
process.on('message', (order: LaunchOrder) => void launch(order));
tell({ kind: 'ready' });

async function launch({ order, command, output }: LaunchOrder): Promise<void> {
  // An order that outlived its dispatcher would start what nobody looks for any more.
  if (process.ppid !== dispatcher) process.exit();
  const file = openOutput(output);
  if (file === undefined) return tell({ kind: 'declined', order });
  try {
    const onExit = (cause: string, identity: ProcessIdentity) =>
      tell({ kind: 'exited', order, process: identity, cause });
    tell({ kind: 'started', order, process: await startChild(command, file, onExit) });
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    tell({ kind: 'failed', order, message, code });
  } finally {
    closeSync(file);
  }
}

function openOutput(path: string): number | undefined {
  try {
    return openSync(path, constants.O_WRONLY | constants.O_APPEND);
  } catch {
    return undefined;
  }
}

/** A dispatcher that hears nothing more is gone, and `disconnect` ends this process. */
function tell(report: LauncherReport): void {
  process.send?.(report, undefined, undefined, () => {});
}
