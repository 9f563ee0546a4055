import { resolve } from 'node:path';
import type { App, Limits, RuntimeName } from '../model/app.js';
import { boundedBy, type CustomerTerms, refuseForeign } from './customer-terms.js';
import { readDomain } from './domain.js';
import type { Report } from './explain.js';
import type { AppFile } from './schema/app-file.js';
import { unlimited } from './schema/fields.js';
import { type Filled, fill } from './schema/filled.js';
import { type SharedKeys, sharedSchema } from './schema/shared-keys.js';
import { parseDuration } from '../model/duration.js';
import { parseSize } from './units.js';

/** Where an app gets what it does not say itself. */
export interface AppSources {
  readonly plans: Readonly<Record<string, SharedKeys>>;
  readonly defaults: SharedKeys;
  /** Of a file that a customer writes. */
  readonly customer?: { readonly terms: CustomerTerms; readonly directory: string } | undefined;
}

/**
 * The app as `model/` knows it, or undefined after reporting what does not fit together. `written` passed the schema.
 */
export function resolveApp(written: AppFile, sources: AppSources, report: Report): App | undefined {
  const { plans, defaults, customer } = sources;
  let sound = true;
  const fail: Report = (path, message) => {
    sound = false;
    report(path, message);
  };
  const planName = customer ? customer.terms.plan : written.plan;
  const plan = planName !== undefined && Object.hasOwn(plans, planName) ? plans[planName] : undefined;
  if (planName !== undefined && !plan) fail(['plan'], unknownPlan(planName, Object.keys(plans)));
  const layers = merge([written, plan ?? {}, defaults]);
  const filled = withoutSurprise(fill(sharedSchema, layers), layers);
  const shared = customer ? boundedBy(filled, ofOperator(plan ?? {}, defaults)) : filled;
  checkRuntime(written, shared.runtime, fail);
  checkFigures(shared, layers, fail);
  const domains = normalisedDomains(written);
  refuseRepeated(domains, fail);
  if (customer) refuseForeign(written, domains, customer.terms, fail);
  if (!sound || !shared.runtime) return undefined;
  // A customer's process starts where its file is, not where the daemon runs.
  const cwd = customer && shared.runtime === 'process' ? customer.directory : written.cwd;
  return build({ ...written, ...(cwd !== undefined && { cwd }) }, shared, shared.runtime, domains);
}

/** The domains of an app that passed the schema, as the router looks them up. */
export function normalisedDomains({ domains }: AppFile): string[] {
  return [domains].flat().map((text) => {
    const reading = readDomain(text);
    return 'domain' in reading ? reading.domain : text;
  });
}

/** The first layer that says something wins; scale, concurrency, queue, websocket, limits and env key by key. */
function merge(layers: readonly SharedKeys[]): SharedKeys {
  const [first = {}, ...rest] = layers;
  if (rest.length === 0) return first;
  const below = merge(rest);
  return {
    ...below,
    ...first,
    env: { ...below.env, ...first.env },
    limits: { ...below.limits, ...first.limits },
    scale: { ...below.scale, ...first.scale },
    concurrency: { ...below.concurrency, ...first.concurrency },
    queue: { ...below.queue, ...first.queue },
    websocket: { ...below.websocket, ...first.websocket },
  };
}

function unknownPlan(plan: string, plans: readonly string[]): string {
  const known = plans.length === 0 ? 'the main file defines none' : `the main file defines ${plans.join(', ')}`;
  return `there is no plan ${JSON.stringify(plan)}; ${known}`;
}

function checkRuntime(written: AppFile, runtime: RuntimeName | undefined, fail: Report): void {
  if (runtime === undefined) fail(['runtime'], 'is required: process or docker, here, in the plan or in defaults');
  if (runtime === 'process' && !written.command)
    fail(['command'], 'is required with runtime process, such as [node, server.js]');
  if (written.command?.[0] === '') fail(['command', 0], 'must name a program, got ""');
  if (runtime === 'docker' && written.image === undefined)
    fail(['image'], 'is required with runtime docker, such as hello:1');
  if (runtime === 'docker' && written.cwd !== undefined && !written.cwd.startsWith('/')) {
    fail(['cwd'], `must be an absolute path inside the container, got ${JSON.stringify(written.cwd)}`);
  }
  const targets = (written.mounts ?? []).map(({ target }) => target);
  targets.forEach((target, index) => {
    if (targets.indexOf(target) < index) fail(['mounts', index, 'target'], `${target} is mounted twice`);
  });
}

function ofOperator(plan: SharedKeys, defaults: SharedKeys): Filled<typeof sharedSchema> {
  const layers = merge([plan, defaults]);
  return withoutSurprise(fill(sharedSchema, layers), layers);
}

/** A default must not contradict what is written beside it. */
function withoutSurprise(
  filled: Filled<typeof sharedSchema>,
  { concurrency }: SharedKeys,
): Filled<typeof sharedSchema> {
  const { target, max } = filled.concurrency;
  if (concurrency?.target !== undefined || target <= max) return filled;
  return { ...filled, concurrency: { ...filled.concurrency, target: max } };
}

function checkFigures(shared: Filled<typeof sharedSchema>, written: SharedKeys, fail: Report): void {
  const { scale, concurrency, overlap } = shared;
  if (!overlap && scale.max > 1) {
    fail(['overlap'], `false means one instance at a time, but scale.max is ${scale.max}; set scale.max to 1`);
  }
  const maxOf = (max: number, said: number | undefined) =>
    said === undefined ? `max ${max}, which is the default; write max as well` : `max ${max}`;
  if (scale.min > scale.max)
    fail(
      ['scale', 'min'],
      `must not be above scale.max, got min ${scale.min} and ${maxOf(scale.max, written.scale?.max)}`,
    );
  if (concurrency.target > concurrency.max) {
    const got = `got target ${concurrency.target} and ${maxOf(concurrency.max, written.concurrency?.max)}`;
    fail(['concurrency', 'target'], `must not be above concurrency.max, ${got}`);
  }
}

function refuseRepeated(domains: readonly string[], fail: Report): void {
  domains.forEach((domain, index) => {
    if (domains.indexOf(domain) < index) fail(['domains', index], `${domain} is listed twice`);
  });
}

function build(written: AppFile, shared: Filled<typeof sharedSchema>, runtime: RuntimeName, domains: string[]): App {
  const { name, command, image, cwd } = written;
  const { port } = written;
  const quietMs = parseDuration(shared.websocket.quiet)!;
  return {
    name,
    domains,
    runtime,
    ...(command && { command }),
    ...(image !== undefined && { image }),
    ...(port !== undefined && { port }),
    env: { ...shared.env },
    mounts: (written.mounts ?? []).map(({ source, target, readOnly = false, shared = false }) => ({
      source: resolve(source),
      target,
      readOnly,
      ...(shared && { shared }),
    })),
    ...(cwd !== undefined && { cwd: runtime === 'process' ? resolve(cwd) : cwd }),
    ...(shared.user !== undefined && { user: shared.user }),
    readOnly: shared.readOnly,
    publish: shared.publish,
    limits: limitsOf(shared.limits),
    readiness: shared.readiness as App['readiness'],
    overlap: shared.overlap,
    scale: shared.scale,
    concurrency: shared.concurrency,
    queue: { max: shared.queue.max, timeoutMs: parseDuration(shared.queue.timeout)! },
    idleTtlMs: parseDuration(shared.idleTtl)!,
    maxLifetimeMs: parseDuration(shared.maxLifetime)!,
    bootTimeoutMs: parseDuration(shared.bootTimeout)!,
    drainTimeoutMs: parseDuration(shared.drainTimeout)!,
    stopTimeoutMs: parseDuration(shared.stopTimeout)!,
    requestTimeoutMs: parseDuration(shared.requestTimeout)!,
    maxRequestBodyBytes: parseSize(shared.maxRequestBody)!,
    maxBusyMs: parseDuration(shared.maxBusy)!,
    ...(quietMs > 0 && { websocket: { quietMs } }),
    ...(shared.errorHeaders && { errorHeaders: { ...shared.errorHeaders } }),
  };
}

function limitsOf({ memory, cpus, cpuWeight, pids, files }: Filled<typeof sharedSchema>['limits']): Limits {
  return {
    ...(memory !== unlimited && { memoryBytes: parseSize(memory)! }),
    ...(cpus !== unlimited && { cpus }),
    cpuWeight,
    ...(pids !== unlimited && { pids }),
    ...(files !== unlimited && { files }),
  };
}
