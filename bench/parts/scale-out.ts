import { type ClientRequest, request } from 'node:http';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type InstanceView, instancesOf } from '../admin.js';
import { ask } from '../ask.js';
import { type BenchDaemon, startDaemon } from '../daemon.js';
import { ms } from '../figures.js';
import type { Bench, Part, PartResult } from '../part.js';
import { settle } from '../settle.js';
import { median, quantile } from '../statistics.js';

/** From the request that is one too many for an app's instance to the second one being ready. */
export const scaleOut: Part = { name: 'scale-out', about: 'time from load above target to a second instance', run };

const target = 10;
const limitMs = 30_000;

interface Reaction {
  /** From the request to the claim of the boot. */
  readonly claimMs: number;
  readonly readyMs: number;
  /** Of the boot's own phases: the runtime's, and the app's time to listen. */
  readonly bootMs: number;
}

async function run({ processes, dir, rounds, smoke }: Bench): Promise<PartResult> {
  const names = Array.from({ length: rounds ?? (smoke ? 2 : 11) }, (_, index) => `load-${index}`);
  const daemon = await startDaemon({ processes, dir, apps: names.map(app) });
  const reactions: Reaction[] = [];
  for (const name of names) reactions.push(await react(daemon, name));
  const figures = (of: (reaction: Reaction) => number) => reactions.map(of);
  const own = figures(({ readyMs, bootMs }) => readyMs - bootMs);
  const middle = (values: readonly number[]) => ms(median(values));
  return {
    tables: [
      {
        title: 'Scale-out',
        columns: ['', 'boot claimed', 'second instance ready', 'its boot', 'the dispatcher’s share', 'quartiles of it'],
        rows: [
          [
            `request ${target + 1} of an app with target ${target}`,
            middle(figures(({ claimMs }) => claimMs)),
            middle(figures(({ readyMs }) => readyMs)),
            middle(figures(({ bootMs }) => bootMs)),
            middle(own),
            `${ms(quantile(own, 0.25))} … ${ms(quantile(own, 0.75))}`,
          ],
        ],
        notes: [
          `Medians of ${names.length} apps, counted from when the request is sent. The boot is the phases create, start and ready ` +
            'of the instance: the runtime’s work and a node process’ time to listen. Times are of the wall clock, in whole milliseconds.',
        ],
      },
    ],
    verdicts: [],
  };
}

function app(name: string): Record<string, unknown> {
  const command = [process.execPath, resolve('test/fixtures/apps/web.mjs')];
  const scale = { min: 0, max: 2 };
  return { name, domains: [domainOf(name)], runtime: 'process', command, scale, concurrency: { target, max: 100 } };
}

function domainOf(name: string): string {
  return `${name}.localhost`;
}

async function react(daemon: BenchDaemon, name: string): Promise<Reaction> {
  const { status, body } = await ask(daemon.port, domainOf(name));
  if (status !== 200) throw new Error(`${name} was answered ${status}: ${body}`);
  const held = Array.from({ length: target }, () => hold(daemon, name));
  try {
    const settled = await settle(() => instancesOf(daemon, name), isFull, limitMs);
    if (!isFull(settled) || settled.length !== 1) throw new Error(`${name} does not hold ${target} requests`);
    await sleep(50);
    const from = Date.now();
    held.push(hold(daemon, name));
    const instances = await settle(() => instancesOf(daemon, name), isTwice, limitMs);
    const second = instances.find(({ id }) => id !== settled[0]?.id);
    if (!second?.readyAt) throw new Error(`${name} did not get a second instance within ${limitMs / 1_000} s`);
    const bootMs = Object.values(second.boot).reduce((sum, phase) => sum + phase, 0);
    return { claimMs: Date.parse(second.bootedAt) - from, readyMs: Date.parse(second.readyAt) - from, bootMs };
  } finally {
    for (const req of held) req.destroy();
  }
}

/** A request that is never answered. */
function hold({ port }: BenchDaemon, name: string): ClientRequest {
  const req = request({ host: '127.0.0.1', port, path: '/hang', headers: { host: domainOf(name) }, agent: false });
  // It is broken off when it has served its purpose.
  req.on('error', () => {});
  req.end();
  return req;
}

function isFull(instances: readonly InstanceView[]): boolean {
  return instances.some(({ inflight }) => inflight === target);
}

function isTwice(instances: readonly InstanceView[]): boolean {
  return instances.filter(({ state }) => state === 'ready').length === 2;
}
