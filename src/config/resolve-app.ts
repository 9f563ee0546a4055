import { resolve } from 'node:path';
import type { App } from '../model/app.js';
import { ociImage, ociImageExpects } from '../model/oci-image.js';
import { appCodec, type AppFile, appSchema, type SharedKeys, sharedSchema } from '../model/app-keys.js';
import { codec, merge, type Parsed } from '../model/schema/parsed.js';
import { boundedBy, type CustomerTerms, refuseForeign } from './customer-terms.js';
import { parseDuration } from '../model/duration.js';
import type { Report } from './explain.js';

const sharedCodec = codec(sharedSchema);
const domainsCodec = codec(appSchema.properties.domains);

/** What completes an app file. */
export interface AppSources {
  readonly plans: Readonly<Record<string, SharedKeys>>;
  readonly defaults: SharedKeys;
  /** If a customer writes the app; `directory` is that of its file. */
  readonly customer?: { readonly terms: CustomerTerms; readonly directory?: string } | undefined;
}

/**
 * The app that a file, its plan and the defaults make; undefined after reporting what does not fit together. `written` passed the
 * schema.
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
  const said = placed(merge(appSchema, [written, plan ?? {}, defaults]), customer?.directory);
  const own = withoutSurprise(appCodec.read(said), said);
  const app = customer ? { ...own, ...boundedBy(own, ofOperator(plan ?? {}, defaults)) } : own;
  checkRuntime(written, said, fail);
  checkFigures(app, said, fail);
  refuseRepeated(app.domains, fail);
  if (customer) refuseForeign(written, app.domains, customer.terms, fail);
  return sound ? app : undefined;
}

/** The domains of an app that passed the schema, as the router looks them up. */
export function normalisedDomains({ domains }: AppFile): readonly string[] {
  return domainsCodec.read(domains);
}

/**
 * Makes paths absolute. The working directory of a customer's app that has the programs of the host is the one of its file, which a
 * container has to be given. An app of a runtime that cannot pause is never paused, whatever plan and defaults say.
 */
function placed(said: AppFile, customerDirectory: string | undefined): AppFile {
  const isProcess = said.runtime === 'process';
  const isHostView = said.runtime === 'oci' && ociImage(said.image)?.kind === 'host';
  const home = isProcess || isHostView ? customerDirectory : undefined;
  const cwd = home ?? said.cwd;
  const given = isHostView && home !== undefined ? [{ source: home, target: resolve(home) }] : [];
  const mounts = [...(said.mounts ?? []), ...given];
  return {
    ...said,
    ...(isProcess && said.pauseAfter !== undefined && { pauseAfter: '0s' }),
    ...(cwd !== undefined && { cwd: isProcess || home !== undefined ? resolve(cwd) : cwd }),
    ...(mounts.length > 0 && { mounts: mounts.map((mount) => ({ ...mount, source: resolve(mount.source) })) }),
  };
}

function unknownPlan(plan: string, plans: readonly string[]): string {
  const known = plans.length === 0 ? 'the main file defines none' : `the main file defines ${plans.join(', ')}`;
  return `there is no plan ${JSON.stringify(plan)}; ${known}`;
}

function checkRuntime(written: AppFile, { runtime, publish }: AppFile, fail: Report): void {
  if (runtime === undefined) fail(['runtime'], 'is required: process, docker or oci, here, in the plan or in defaults');
  const hasOwn = runtime === 'docker' || (runtime === 'oci' && ociImage(written.image)?.kind === 'packed');
  if (runtime !== undefined && !hasOwn && !written.command)
    fail(['command'], `is required with runtime ${runtime}, such as [node, server.js]`);
  if (written.command?.[0] === '') fail(['command', 0], 'must name a program, got ""');
  if (runtime === 'docker' && written.image === undefined)
    fail(['image'], 'is required with runtime docker, such as hello:1');
  if (runtime === 'oci' && !ociImage(written.image)) {
    fail(['image'], `must be ${ociImageExpects} with runtime oci, got ${JSON.stringify(written.image)}`);
  }
  if (runtime === 'process' && parseDuration(written.pauseAfter ?? '0s') !== 0) {
    fail(
      ['pauseAfter'],
      'has no use with runtime process, which cannot freeze apps; use oci or docker, or leave it out',
    );
  }
  if (runtime === 'oci' && publish === true) fail(['publish'], 'has no use with runtime oci, which publishes no ports');
  if (runtime !== 'process' && written.cwd !== undefined && !written.cwd.startsWith('/')) {
    fail(['cwd'], `must be an absolute path inside the container, got ${JSON.stringify(written.cwd)}`);
  }
  const targets = (written.mounts ?? []).map(({ target }) => target);
  targets.forEach((target, index) => {
    if (targets.indexOf(target) < index) fail(['mounts', index, 'target'], `${target} is mounted twice`);
  });
}

type Shared = Parsed<typeof sharedSchema>;

function ofOperator(plan: SharedKeys, defaults: SharedKeys): Shared {
  const said = merge(sharedSchema, [plan, defaults]);
  return withoutSurprise(sharedCodec.read(said), said);
}

/** Lowers the default of `concurrency.target` to a `max` that was written. */
function withoutSurprise<Some extends Pick<App, 'concurrency'>>(parsed: Some, { concurrency }: SharedKeys): Some {
  const { target, max } = parsed.concurrency;
  if (concurrency?.target !== undefined || target <= max) return parsed;
  return { ...parsed, concurrency: { ...parsed.concurrency, target: max } };
}

function checkFigures(app: App, written: SharedKeys, fail: Report): void {
  const { scale, concurrency, overlap } = app;
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
