import type { App } from '../model/app.js';
import { formatDuration } from '../model/units.js';

/** Settings of an app that are allowed but probably a mistake, with what to write instead. */
export function figureNotices(app: App): string[] {
  const { bootTimeoutMs, queue, idleTtlMs, maxLifetimeMs, pauseAfterMs } = app;
  const notices: string[] = [];
  if (bootTimeoutMs > queue.timeoutMs)
    notices.push(
      `bootTimeout ${formatDuration(bootTimeoutMs)} is longer than queue.timeout ${formatDuration(queue.timeoutMs)}: ` +
        `requests are refused while the boot goes on; write queue: { timeout: ${formatDuration(bootTimeoutMs)} } or more`,
    );
  if (idleTtlMs > maxLifetimeMs)
    notices.push(
      `idleTtl ${formatDuration(idleTtlMs)} is longer than maxLifetime ${formatDuration(maxLifetimeMs)}: ` +
        `an instance ends by its lifetime before it is idle for so long; write idleTtl: ${formatDuration(maxLifetimeMs)} or less`,
    );
  if (pauseAfterMs >= idleTtlMs)
    notices.push(
      `pauseAfter ${formatDuration(pauseAfterMs)} is not shorter than idleTtl ${formatDuration(idleTtlMs)}: ` +
        `an instance ends before it is paused; write a longer idleTtl, or pauseAfter: 0s`,
    );
  const word = unexpanded(app);
  if (word !== undefined)
    notices.push(
      `command: ${word} is handed on as it stands, for no shell reads it; the app finds PORT and HOST in its environment, ` +
        `or write [sh, -c, 'exec program --port "$PORT"']`,
    );
  return notices.map((notice) => `app ${app.name}: ${notice}`);
}

/** The first variable in the command that only a shell would replace. */
function unexpanded({ command = [] }: App): string | undefined {
  if (command.some((word) => /(?:^|\/)(?:ba|da|a|z|k)?sh$/.test(word))) return undefined;
  return command.map((word) => /\$(?:PORT|HOST)\b/.exec(word)?.[0]).find((found) => found !== undefined);
}
