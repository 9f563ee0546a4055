import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';

export interface DaemonCommand {
  readonly child: ChildProcess;
  /** Where it listens, once it does. Rejects where it ends before. */
  readonly listening: Promise<{ readonly port: number; readonly admin: string }>;
}

/** The real command, its output appended to a file; `onLine` gets each line of its log, parsed. */
export function runDaemon(
  configFile: string,
  logFile: string,
  onLine?: (line: Record<string, unknown>) => void,
): DaemonCommand {
  const main = resolve(import.meta.dirname, '../../src/main.js');
  const child = spawn(process.execPath, [main, 'start', '--stop-apps', '--config', configFile], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const kill = () => child.kill();
  process.once('exit', kill);
  child.once('exit', () => process.off('exit', kill));
  const log = createWriteStream(logFile, { flags: 'a' });
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  child.once('close', () => log.end());
  const listening = new Promise<{ port: number; admin: string }>((found, failed) => {
    child.once('exit', (code, signal) =>
      failed(new Error(`the daemon ended with ${signal ?? `code ${code}`} before it listened`)),
    );
    createInterface({ input: child.stdout }).on('line', (text) => {
      const line = parsed(text);
      if (!line) return;
      if (line['msg'] === 'listening') {
        const { http, admin } = line as unknown as { http: string[]; admin: string };
        found({ port: Number(http[0]?.split(':').at(-1)), admin: `http://${admin}` });
      }
      onLine?.(line);
    });
  });
  listening.catch(() => {});
  return { child, listening };
}

/** What a killed process wrote last may be half a line. */
function parsed(text: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
