import type { Outcome } from '../load/load.js';
import { percentile } from '../long-run/tally.js';
import type { Verdict } from './judge.js';
import type { Kill } from './kills.js';
import type { Outage } from './redis.js';

/** Counts what the clients saw and what was found, prints both as it comes and in the end. */
export class Report {
  onFinding: (what: string) => void = () => {};
  readonly #counts = new Map<string, number>();
  readonly #excused = new Map<string, number>();
  readonly #findings = new Map<string, number>();
  #exchanges = 0;
  #latencies: number[] = [];
  #allExcused = 0;

  get isClean(): boolean {
    return this.#findings.size === 0;
  }

  add({ kind, ms }: Outcome): void {
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
    this.#exchanges += 1;
    this.#latencies.push(ms);
  }

  judged(kind: string, verdict: Verdict): void {
    if ('finding' in verdict) return this.finding(verdict.finding, verdict.detail);
    const what = `${kind}: ${verdict.excuse}`;
    this.#excused.set(what, (this.#excused.get(what) ?? 0) + 1);
    this.#allExcused += 1;
  }

  /** `detail`: what differs each time. */
  finding(what: string, detail = ''): void {
    this.#findings.set(what, (this.#findings.get(what) ?? 0) + 1);
    this.onFinding(`${what}${detail && ` (${detail})`}`);
  }

  header(): void {
    console.log('    at s  exchanges     p50     p99     max   boots   kills  living  carried by killed  findings');
  }

  row(atS: number, { boots, kills, living }: { boots: number; kills: number; living: number }): void {
    const latencies = this.#latencies;
    this.#latencies = [];
    const columns: [value: number, width: number][] = [
      [atS, 8],
      [this.#exchanges, 10],
      [percentile(latencies, 0.5), 7],
      [percentile(latencies, 0.99), 7],
      [percentile(latencies, 1), 7],
      [boots, 7],
      [kills, 7],
      [living, 7],
      [this.#allExcused, 18],
      [[...this.#findings.values()].reduce((sum, count) => sum + count, 0), 9],
    ];
    console.log(columns.map(([value, width]) => value.toFixed(0).padStart(width)).join(' '));
  }

  rested(ms: number): void {
    console.log(`at rest ${(ms / 1_000).toFixed(0)} s after the end of the load: nothing leaked, nothing in flight`);
  }

  verdict(kills: readonly Kill[], outages: readonly Outage[], boots: number): void {
    const killed = (kind: Kill['kind']) => kills.filter((kill) => kill.kind === kind).length;
    const emptied = outages.filter(({ empty }) => empty).length;
    const list = (counts: ReadonlyMap<string, number>) =>
      [...counts].map(([what, count]) => `${count} ${what}`).join(', ') || 'none';
    console.log(`exchanges: ${this.#exchanges}: ${list(this.#counts)}`);
    console.log(
      `killed: ${killed('container')} containers, ${killed('worker')} workers, ${killed('daemon')} daemons, ` +
        `Redis ${outages.length} times, ${emptied} of them emptied`,
    );
    console.log(`boots: ${boots}`);
    console.log(`failed, carried by what was killed: ${this.#allExcused}: ${list(this.#excused)}`);
    if (this.#exchanges === 0) this.finding('no exchange succeeded');
    for (const [what, count] of this.#findings) console.log(`FAILED: ${count} × ${what}`);
    console.log(this.isClean ? 'verdict: nothing lost that was not killed, nothing left' : 'verdict: FAILED');
  }
}
