import type { Config } from './config.js';
import { formatProblem } from './problem.js';

/** Whether the configuration in force is what the files say, for /readyz and metrics. */
export class ConfigHealth {
  #files: Pick<Config, 'problems' | 'heldApps'>;
  #refusal: string | undefined;

  constructor(config: Pick<Config, 'problems' | 'heldApps'>) {
    this.#files = config;
  }

  /** The files were read, and the main file is sound. */
  read(config: Pick<Config, 'problems' | 'heldApps'>): void {
    this.#files = config;
    this.#refusal = undefined;
  }

  /** The files were not taken over, because the main file is wrong. */
  refused(error: Error): void {
    this.#refusal = error.message;
  }

  /** Always ok: while files are wrong, the dispatcher serves what they said last. */
  get check(): { readonly ok: boolean; readonly detail?: string } {
    if (this.#refusal !== undefined) return { ok: true, detail: `not taken over: ${cut(this.#refusal)}` };
    const { problems, heldApps } = this.#files;
    const [first] = problems;
    if (!first) return { ok: true };
    const detail = `${problems.length} problems in app files, ${heldApps.length} apps held: ${formatProblem(first)}`;
    return { ok: true, detail: cut(detail) };
  }

  get counts(): { readonly refused: number; readonly problems: number; readonly held: number } {
    const { problems, heldApps } = this.#files;
    return { refused: this.#refusal === undefined ? 0 : 1, problems: problems.length, held: heldApps.length };
  }
}

function cut(text: string): string {
  const [line = ''] = text.split('\n');
  return line.length > 300 ? `${line.slice(0, 300)}…` : line;
}
