import { metric } from '../admin.js';
import { type Answer, ask } from '../ask.js';
import { type BenchDaemon, startDaemon } from '../daemon.js';
import { count, ms } from '../figures.js';
import { nodeApp } from '../light-app.js';
import type { Bench, Part, PartResult } from '../part.js';
import { median, quantile } from '../statistics.js';
import { exactly } from '../verdict.js';

/** Many requests at once to an app that sleeps: it boots once, and all are answered. */
export const herd: Part = { name: 'herd', about: '1,000 requests at once to a sleeping app', run };

const size = 1_000;

interface Herd {
  readonly boots: number;
  readonly good: number;
  readonly totals: readonly number[];
}

async function run({ processes, dir, rounds, smoke }: Bench): Promise<PartResult> {
  const names = Array.from({ length: rounds ?? (smoke ? 1 : 5) }, (_, index) => `herd-${index}`);
  const { command } = nodeApp();
  const apps = names.map((name) => ({ name, domains: [`${name}.localhost`], runtime: 'process', command }));
  const daemon = await startDaemon({ processes, dir, apps });
  const herds: Herd[] = [];
  for (const name of names) herds.push(await release(daemon, `${name}.localhost`));
  const mostBoots = Math.max(...herds.map(({ boots }) => boots));
  const fewestGood = Math.min(...herds.map(({ good }) => good));
  const of = (q: number) => ms(median(herds.map(({ totals }) => quantile(totals, q))));
  const wrong = mostBoots !== 1 || fewestGood !== size;
  return {
    tables: [
      {
        title: `Herd of ${count(size)} requests to a sleeping app`,
        columns: ['herds', 'boots each', 'answers 200 each', 'median answer', 'last answer'],
        rows: [[String(herds.length), String(mostBoots), count(fewestGood), of(0.5), of(1)]],
        notes: ['Each request on a connection of its own; the app is a node process, its start included.'],
      },
    ],
    verdicts: [
      exactly(`boots for a herd of ${count(size)}`, 1, mostBoots, count),
      exactly(`answers 200 to a herd of ${count(size)}`, size, fewestGood, count),
    ],
    broken: wrong ? [`herd: up to ${mostBoots} boots, at least ${fewestGood} of ${size} answers were 200`] : [],
  };
}

async function release(daemon: BenchDaemon, host: string): Promise<Herd> {
  const before = await metric(daemon, 'fastcontainer_boots_total');
  const answers = await Promise.allSettled(Array.from({ length: size }, () => ask(daemon.port, host)));
  const good = answers.flatMap((answer): Answer[] =>
    answer.status === 'fulfilled' && answer.value.status === 200 ? [answer.value] : [],
  );
  const boots = (await metric(daemon, 'fastcontainer_boots_total')) - before;
  return { boots, good: good.length, totals: good.map(({ totalMs }) => totalMs) };
}
