import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { textOf } from '../../machine/text-of.js';
import { type Clock, sleep } from '../../model/clock.js';
import { oneLine } from '../output/printable.js';
import { usualPath } from './command.js';

export interface BoundedRunOptions {
  /** Directory that it writes to, which tells the file system. */
  readonly directory: string;
  /** What it may write in all. */
  readonly maxBytes: number;
  readonly signal: AbortSignal;
  readonly clock: Clock;
  /** Called now and then with what it has written so far. */
  readonly onProgress: (bytes: number) => void;
}

const lookMs = 200;
const limitMs = 3_600_000;
/** Files and directories of one image; a usual one has below 100,000. */
const mostEntries = 2_000_000;
/** Of the file system, what stays free for others. */
const reserve = 0.02;
const mostWords = 4_096;
const settings = ['HOME', 'REGISTRY_AUTH_FILE', 'SSL_CERT_FILE', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY'];

/**
 * Runs a program that writes what strangers made, and ends it if that is too much. It ends with this process. Rejects
 * with an Error that says what it complains of.
 */
export async function boundedRun(program: string, args: readonly string[], options: BoundedRunOptions): Promise<void> {
  const { directory, maxBytes, signal } = options;
  signal.throwIfAborted();
  if (!usualPath.split(':').some((folder) => existsSync(join(folder, program)))) {
    throw new Error(`${program} is not installed (Debian: apt-get install ${program})`);
  }
  const child = spawn(
    'setpriv',
    ['--pdeathsig', 'KILL', '--', 'prlimit', `--fsize=${maxBytes}`, '--core=0', '--', program, ...args],
    { stdio: ['ignore', 'pipe', 'pipe'], env: environment(directory), cwd: directory },
  );
  let words = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (words = (words + text).slice(-mostWords)));
  }
  const closed = once(child, 'close') as Promise<[number | null, string | null]>;
  const watch = new AbortController();
  const fault = follow(child.pid ?? 0, options, AbortSignal.any([signal, watch.signal]))
    .catch((error: Error) => `what it writes cannot be followed: ${error.message}`)
    .then((found) => {
      if (found !== undefined || signal.aborted) child.kill('SIGKILL');
      return found;
    });
  const [code, killedBy] = await closed.finally(() => watch.abort());
  signal.throwIfAborted();
  const found = await fault;
  if (found !== undefined) throw new Error(found);
  if (code !== 0) throw new Error(complaint(words) || `${program} ended with ${killedBy ?? `exit code ${code}`}`);
}

/** Follows a process until the signal aborts. Resolves to why it has to end, if it has. */
async function follow(
  pid: number,
  { directory, maxBytes, clock, onProgress }: BoundedRunOptions,
  signal: AbortSignal,
): Promise<string | undefined> {
  const endsAt = clock.monotonic() + limitMs;
  const { ffree: freeAtFirst } = await statfs(directory);
  while (!signal.aborted) {
    const bytes = Number(/^wchar: (\d+)$/m.exec(textOf(`/proc/${pid}/io`))?.[1] ?? 0);
    onProgress(bytes);
    if (bytes > maxBytes) return `it is larger than runtimes.oci.imageSize (${maxBytes} bytes)`;
    const { bavail, blocks, files, ffree } = await statfs(directory);
    if (freeAtFirst - ffree > mostEntries) return `it has more than ${mostEntries} files`;
    if (bavail < blocks * reserve || ffree < files * reserve) return `the disk of ${directory} is full`;
    if (clock.monotonic() > endsAt) return `it took more than ${limitMs / 60_000} minutes`;
    await sleep(clock, lookMs, signal);
  }
  return undefined;
}

function environment(directory: string): Record<string, string> {
  const kept = settings.flatMap((name) => [name, name.toLowerCase()]);
  const entries = kept.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return { ...Object.fromEntries(entries), PATH: usualPath, LC_ALL: 'C', TMPDIR: directory };
}

/** The message in the last line that has one. */
function complaint(words: string): string {
  const lines = words.trim().split('\n');
  const told = lines.toReversed().find((line) => /level=(fatal|error)|⨯|error/i.test(line)) ?? lines.at(-1) ?? '';
  const message = /msg="((?:[^"\\]|\\.)*)"/.exec(told)?.[1]?.replaceAll('\\"', '"');
  return oneLine(message ?? told.replace(/^\s*⨯\s*/, ''));
}
