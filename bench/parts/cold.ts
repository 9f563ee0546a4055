import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { findDocker, type TestDocker } from '../../test/fixtures/docker.js';
import { testImage } from '../../test/fixtures/docker-image.js';
import { instancesOf } from '../admin.js';
import { type Answer, ask } from '../ask.js';
import { processByHand } from '../by-hand.js';
import { type BenchDaemon, startDaemon } from '../daemon.js';
import { containerName } from '../../src/runtime/docker/labels.js';
import { containerByHand } from '../docker-by-hand.js';
import { ms } from '../figures.js';
import { lightApp, nodeApp, type TestApp } from '../light-app.js';
import type { Bench, Part, PartResult } from '../part.js';
import { median, quantile } from '../statistics.js';
import { atMost } from '../verdict.js';

/**
 * The first request to a sleeping app, beside the same container started by hand in the same round: what the dispatcher
 * adds to the runtime's boot and to the app's own time to listen.
 */
export const cold: Part = { name: 'cold', about: 'the request that boots an app, by runtime', run };

const budgetMs = 10;
const port = 8080;
/** Rounds that are not counted: programs and images are read from disk, the dispatcher's code is compiled. */
const warmUps = 2;
/** Between two starts, in milliseconds: an engine goes on clearing up after it has answered. */
const restMs = 200;
const phases = ['lookup', 'queue', 'create', 'start', 'ready', 'ttfb'];

interface Subject {
  readonly name: string;
  readonly daemon: BenchDaemon;
  readonly apps: readonly string[];
  /** Given an app that was booted already. */
  readonly byHand: (app: string) => Promise<number>;
}

interface Measured {
  readonly name: string;
  readonly cold: readonly Answer[];
  readonly byHand: readonly number[];
}

async function run(bench: Bench): Promise<PartResult> {
  const rounds = (bench.rounds ?? (bench.smoke ? 3 : 21)) + warmUps;
  const measured: Measured[] = [];
  const missing: string[] = [];
  const broken: string[] = [];
  const light = lightApp(bench.dir);
  if (light === undefined) missing.push('cold: the app without weight; apt-get install busybox-static');
  for (const app of [nodeApp(), ...(light ? [light] : [])]) {
    measured.push(await measure(await processSubject(bench, app, rounds), bench));
  }
  const docker = await findDocker();
  if ('obstacle' in docker) missing.push(`cold: Docker (${docker.obstacle})`);
  else {
    // What was measured without the engine counts even where the engine then fails.
    await measureDocker(bench, docker, rounds).then(
      (subject) => measured.push(subject),
      (error: Error) => broken.push(`cold: ${error.message}`),
    );
  }
  return {
    tables: [table(measured, rounds - warmUps)],
    verdicts: measured.map((subject) =>
      atMost(`cold request beyond the container by hand: ${subject.name}`, budgetMs, median(shares(subject)), ms),
    ),
    missing,
    broken,
  };
}

async function processSubject(bench: Bench, { name, command }: TestApp, rounds: number): Promise<Subject> {
  const apps = names(name, rounds);
  const { processes, dir } = bench;
  const documents = apps.map((app) => ({ name: app, domains: [`${app}.localhost`], runtime: 'process', command }));
  const daemon = await startDaemon({ processes, dir: `${dir}/${apps[0]}`, apps: documents });
  return { name: `process, ${name}`, daemon, apps, byHand: () => processByHand(command) };
}

async function measureDocker(bench: Bench, { docker, socketPath }: TestDocker, rounds: number): Promise<Measured> {
  const image = await testImage(docker, 'busybox');
  const network = `bench-${randomBytes(4).toString('hex')}`;
  const apps = names('docker', rounds);
  const { processes, dir } = bench;
  const daemon = await startDaemon({
    ...{ processes, dir: `${dir}/docker` },
    apps: apps.map((app) => ({ name: app, domains: [`${app}.localhost`], runtime: 'docker', image, port })),
    main: { runtimes: { docker: { socketPath, network } } },
  });
  const byHand = async (app: string) => {
    const [instance] = await instancesOf(daemon, app);
    return containerByHand(docker, containerName(instance?.id ?? ''), network, port);
  };
  try {
    return await measure({ name: 'docker, busybox httpd', daemon, apps, byHand }, bench);
  } finally {
    await daemon.stop();
    await docker.getNetwork(network).remove();
  }
}

function names(name: string, rounds: number): string[] {
  return Array.from({ length: rounds }, (_, round) => `${name.replaceAll(' ', '-')}-${round}`);
}

async function measure({ name, daemon, apps, byHand }: Subject, { say }: Bench): Promise<Measured> {
  const measured: Measured & { cold: Answer[]; byHand: number[] } = { name, cold: [], byHand: [] };
  for (const [round, app] of apps.entries()) {
    // Whichever comes second finds what the other one left to be done: each is second as often.
    const handIsFirst = round % 2 === 1;
    const before = handIsFirst ? await byHand(apps[round - 1] ?? app) : undefined;
    await sleep(restMs);
    const answer = await ask(daemon.port, `${app}.localhost`);
    if (answer.status !== 200)
      throw new Error(`${name}: the cold request was answered ${answer.status}: ${answer.body}`);
    await sleep(restMs);
    const handMs = before ?? (await byHand(app));
    say(`${name}: cold ${ms(answer.totalMs)}, by hand ${ms(handMs)}`);
    if (round < warmUps) continue;
    measured.cold.push(answer);
    measured.byHand.push(handMs);
  }
  await daemon.stop();
  return measured;
}

/** What each round's cold request took longer than its container by hand. */
function shares({ cold, byHand }: Measured): number[] {
  return cold.map(({ totalMs }, round) => totalMs - (byHand[round] ?? Number.NaN));
}

function table(measured: readonly Measured[], rounds: number) {
  return {
    title: 'Cold requests, in milliseconds',
    columns: ['runtime, app', 'by hand', 'cold request', 'dispatcher’s share', 'quartiles of it', ...phases],
    rows: measured.map((subject) => [
      subject.name,
      median(subject.byHand).toFixed(1),
      median(subject.cold.map(({ totalMs }) => totalMs)).toFixed(1),
      median(shares(subject)).toFixed(1),
      `${quantile(shares(subject), 0.25).toFixed(1)} … ${quantile(shares(subject), 0.75).toFixed(1)}`,
      ...phases.map((phase) => median(subject.cold.map((answer) => answer.phases[phase] ?? 0)).toFixed(1)),
    ]),
    notes: [
      `Medians of ${rounds} rounds, in each a cold request and the same container started by hand, in turn first.`,
      'The phases are those of Server-Timing; create and start are the runtime’s, ready is mostly the app’s.',
    ],
  };
}
