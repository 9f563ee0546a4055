import type { startDaemon } from './daemon.js';
import type { Processes } from './processes.js';
import type { Table } from './table.js';
import type { Verdict } from './verdict.js';

/** What a part of the bench runs with. */
export interface Bench {
  readonly smoke: boolean;
  /** What the caller asked for, else undefined: the part decides. */
  readonly rounds: number | undefined;
  readonly seconds: number | undefined;
  /** Starts the dispatcher of another checkout, if the caller named one: parts that can measure it in the same rounds. */
  readonly against: typeof startDaemon | undefined;
  /** A directory of its own, removed when the part has ended. */
  readonly dir: string;
  /** Ended when the part has. */
  readonly processes: Processes;
  /** Progress, for whoever watches. */
  readonly say: (line: string) => void;
}

export interface PartResult {
  readonly tables: readonly Table[];
  readonly verdicts: readonly Verdict[];
  /** What was left out on this machine, and how to get it. */
  readonly missing?: readonly string[];
  /** What must never be, on any machine: wrong answers, errors, leaks. The bench then exits with 1. */
  readonly broken?: readonly string[];
}

/** One subject of measurement, runnable alone. A new part is a file in parts/ and an entry in parts/all.ts. */
export interface Part {
  readonly name: string;
  readonly about: string;
  /** Throws where it cannot go on; what it started is ended by the caller. */
  readonly run: (bench: Bench) => Promise<PartResult>;
}
