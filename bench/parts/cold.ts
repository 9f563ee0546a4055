import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { findDocker, type TestDocker } from '../../test/fixtures/docker.js';
import { testImage } from '../../test/fixtures/docker-image.js';
import { instancesOf } from '../admin.js';
import { type Answer, ask } from '../ask.js';
import { processByHand } from '../by-hand.js';
import { type BenchDaemon, cmdbName, startDaemon } from '../daemon.js';
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
  /** Of this checkout. */
  readonly isOwn: boolean;
  readonly daemon: BenchDaemon;
  readonly apps: readonly string[];
  /** Given an app that was booted already. */
  readonly byHand: (app: string) => Promise<number>;
}

interface Measured extends Pick<Subject, 'name' | 'isOwn'> {
  readonly cold: Answer[];
  readonly byHand: number[];
}

async function run(bench: Bench): Promise<PartResult> {
  const rounds = (bench.rounds ?? (bench.smoke ? 3 : 21)) + warmUps;
  const measured: Measured[] = [];
  const missing: string[] = [];
  const broken: string[] = [];
  const light = lightApp(bench.dir);
  if (light === undefined) missing.push('cold: the app without weight; apt-get install busybox-static');
  for (const app of [nodeApp(), ...(light ? [light] : [])]) {
    const subjects = [await processSubject(bench, app, rounds)];
    if (bench.against) subjects.push(await processSubject(bench, app, rounds, bench.against));
    measured.push(...(await measure(subjects, bench)));
  }
  const docker = await findDocker();
  if ('obstacle' in docker) missing.push(`cold: Docker (${docker.obstacle})`);
  else {
    // What was measured without the engine counts even where the engine then fails.
    await measureDocker(bench, docker, rounds).then(
      (subjects) => measured.push(...subjects),
      (error: Error) => broken.push(`cold: ${error.message}`),
    );
  }
  return {
    tables: [table(measured, rounds - warmUps)],
    verdicts: measured
      .filter(({ isOwn }) => isOwn)
      .map((subject) =>
        atMost(`cold request beyond the container by hand: ${subject.name}`, budgetMs, median(shares(subject)), ms),
      ),
    missing,
    broken,
  };
}

async function processSubject(
  { processes, dir }: Bench,
  { name, command }: TestApp,
  rounds: number,
  start = startDaemon,
): Promise<Subject> {
  const apps = names(name, rounds);
  const isOwn = start === startDaemon;
  const documents = apps.map((app) => ({ name: app, domains: [`${app}.localhost`], runtime: 'process', command }));
  const daemon = await start({ processes, dir: `${dir}/${apps[0]}${isOwn ? '' : '-against'}`, apps: documents });
  return { ...named(`process, ${name}`, isOwn), daemon, apps, byHand: () => processByHand(command) };
}

function named(name: string, isOwn: boolean) {
  return { name: isOwn ? name : `${name}, the other checkout`, isOwn };
}

async function measureDocker(bench: Bench, { docker, socketPath }: TestDocker, rounds: number): Promise<Measured[]> {
  const image = await testImage(docker, 'busybox');
  const network = `bench-${randomBytes(4).toString('hex')}`;
  const subjects: Subject[] = [];
  const subject = async (start: typeof startDaemon): Promise<Subject> => {
    const isOwn = start === startDaemon;
    const apps = names(isOwn ? 'docker' : 'docker-against', rounds);
    const { processes } = bench;
    const dir = `${bench.dir}/${apps[0]}`;
    // Of the same name, two stores would end each other's containers in versions that go by the name alone.
    const cmdb = { url: `lmdb:${dir}/cmdb`, name: `${cmdbName}${isOwn ? '' : '-against'}` };
    const daemon = await start({
      ...{ processes, dir },
      apps: apps.map((app) => ({ name: app, domains: [`${app}.localhost`], runtime: 'docker', image, port })),
      main: { cmdb, runtimes: { docker: { socketPath, network } } },
    });
    const byHand = async (app: string) => {
      const [instance] = await instancesOf(daemon, app);
      return containerByHand(docker, containerName(instance?.id ?? ''), network, port);
    };
    // Another checkout may name its containers otherwise: beside it too, one like our own is started by hand.
    const likeOurs = (app: string) => subjects[0]?.byHand(app.replace('docker-against', 'docker')) ?? byHand(app);
    return { ...named('docker, busybox httpd', isOwn), daemon, apps, byHand: isOwn ? byHand : likeOurs };
  };
  try {
    for (const start of [startDaemon, bench.against]) if (start) subjects.push(await subject(start));
    return await measure(subjects, bench);
  } finally {
    for (const { daemon } of subjects) await daemon.stop();
    await docker.getNetwork(network).remove();
  }
}

function names(name: string, rounds: number): string[] {
  return Array.from({ length: rounds }, (_, round) => `${name.replaceAll(' ', '-')}-${round}`);
}

async function measure(subjects: readonly Subject[], { say }: Bench): Promise<Measured[]> {
  const measured = subjects.map(({ name, isOwn }): Measured => ({ name, isOwn, cold: [], byHand: [] }));
  for (const round of subjects[0]?.apps.keys() ?? []) {
    for (const [index, subject] of subjects.entries()) {
      const { answer, handMs } = await measureOnce(subject, round);
      say(`${subject.name}: cold ${ms(answer.totalMs)}, by hand ${ms(handMs)}`);
      if (round < warmUps) continue;
      measured[index]?.cold.push(answer);
      measured[index]?.byHand.push(handMs);
    }
  }
  for (const { daemon } of subjects) await daemon.stop();
  return measured;
}

async function measureOnce({ name, daemon, apps, byHand }: Subject, round: number) {
  const app = apps[round] ?? '';
  // Whichever comes second finds what the other one left to be done: each is second as often.
  const handIsFirst = round % 2 === 1;
  const before = handIsFirst ? await byHand(apps[round - 1] ?? app) : undefined;
  await sleep(restMs);
  const answer = await ask(daemon.port, `${app}.localhost`);
  if (answer.status !== 200) throw new Error(`${name}: the cold request was answered ${answer.status}: ${answer.body}`);
  await sleep(restMs);
  return { answer, handMs: before ?? (await byHand(app)) };
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
