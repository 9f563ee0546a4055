import { isIP } from 'node:net';
import { challengeToken } from '../model/acme-challenge.js';
import type { App } from '../model/app.js';
import { parseDuration } from '../model/duration.js';
import { parseRate, partOf } from '../model/wake/rate.js';
import type { DormantAnswer, Verdict } from '../model/wake/verdict.js';
import { type AsleepKeys, networksOf, type RuleSet, type WakeRule } from '../model/wake/wake-keys.js';
import type { TokenBuckets } from '../model/token-buckets.js';
import { globs, words } from './patterns.js';
import { setPatterns } from './rule-sets.js';

/** What rules look at. */
export interface Subject {
  readonly app: string;
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly userAgent: string;
  /** An IPv4 address or an IPv6 /64; undefined if it is not known. */
  readonly client: string | undefined;
  /** Values of a header, by its name in lower case. */
  header(name: string): readonly string[];
}

/** What a rule with a rate counts with. */
export interface Pace {
  readonly buckets: TokenBuckets;
  readonly now: () => number;
  /** Among how many processes a rate is divided. */
  readonly parts: number;
}

type Test = (subject: Subject) => boolean;

interface CompiledRule {
  readonly verdict: Verdict;
  readonly matches: Test;
}

/** An app's rules in a form in which a request costs next to nothing. Apps with the same rules may share it. */
export class CompiledRules {
  readonly #rules: readonly CompiledRule[];

  constructor({ rules, asleep }: App['wake'], pace: Pace) {
    this.#rules = rules.map((written, index) => {
      const rule = typeof written === 'string' ? { set: written } : written;
      const name = rule.name ?? rule.set ?? `rule-${index + 1}`;
      const { wakes = false, counts = false } = rule;
      const answer = dormantAnswer({ ...asleep, ...rule.asleep });
      return { verdict: { rule: name, wakes, counts, asleep: answer }, matches: matcher(rule, index, pace) };
    });
  }

  /** What the first rule that matches decides; undefined if none does. */
  judge(subject: Subject): Verdict | undefined {
    for (const { matches, verdict } of this.#rules) if (matches(subject)) return verdict;
    return undefined;
  }
}

const ruleNeverMatches = (): boolean => false;

/** True if all that the rule says is so; what costs more, and what takes tokens, comes last. */
function matcher(rule: Exclude<WakeRule, string>, index: number, pace: Pace): Test {
  const tests: Test[] = [];
  if (rule.method !== undefined) tests.push(oneOf(rule.method));
  if (rule.set !== undefined) tests.push(ofSet(rule.set));
  if (rule.path !== undefined) tests.push(on('path', globs(listOf(rule.path))));
  if (rule.userAgent !== undefined) tests.push(on('userAgent', words(listOf(rule.userAgent))));
  for (const [header, value] of Object.entries(rule.header ?? {})) tests.push(withHeader(header, value));
  if (rule.network !== undefined) tests.push(from(listOf(rule.network)));
  if (rule.rate !== undefined) tests.push(beyond(rule.rate, index, pace));
  const [only, ...others] = tests;
  if (only === undefined) return () => true;
  return others.length === 0 ? only : (subject) => tests.every((test) => test(subject));
}

function listOf(written: string | readonly string[]): readonly string[] {
  return typeof written === 'string' ? [written] : written;
}

function on(key: 'path' | 'userAgent', matches: (text: string) => boolean): Test {
  return (subject) => matches(subject[key]);
}

function oneOf(methods: string | readonly string[]): Test {
  const known = new Set(listOf(methods));
  return ({ method }) => known.has(method);
}

/** An app that proves its domain to an authority gets what it awaits: authorities say that they are programs. */
function ofSet(set: RuleSet): Test {
  const { userAgents, paths } = setPatterns[set];
  const isAgent = userAgents ? words(userAgents) : ruleNeverMatches;
  const isPath = paths ? globs(paths) : ruleNeverMatches;
  return ({ userAgent, path }) => (isAgent(userAgent) || isPath(path)) && challengeToken(path) === undefined;
}

function withHeader(header: string, value: string): Test {
  const name = header.toLowerCase();
  const matches = globs([value]);
  return (subject) => subject.header(name).some(matches);
}

/** A client that is not known is in no network. */
function from(written: readonly string[]): Test {
  const networks = networksOf(written);
  return ({ client }) => {
    const address = client?.split('/')[0] ?? '';
    const family = isIP(address);
    return family !== 0 && networks.check(address, family === 6 ? 'ipv6' : 'ipv4');
  };
}

/** Requests of clients that are not known share one bucket. */
function beyond(written: string, index: number, { buckets, now, parts }: Pace): Test {
  const whole = parseRate(written);
  if (!whole) return ruleNeverMatches;
  const rate = partOf(whole, parts);
  return ({ app, client = '' }) => {
    const key = `${app} ${index} ${client}`;
    if (buckets.waitMs(key, rate, now()) > 0) return true;
    buckets.take(key, rate, now());
    return false;
  };
}

function dormantAnswer({
  status = 503,
  retryAfter = '10m',
  type = 'text/plain',
  body,
}: NonNullable<AsleepKeys>): DormantAnswer {
  const retryAfterS = Math.ceil((parseDuration(retryAfter) ?? 0) / 1_000);
  return { status, retryAfterS, ...(body !== undefined && { body: { type, text: body } }) };
}
