import type { AgentClass } from '../model/ledger/facts.js';
import { words } from './patterns.js';
import { setPatterns } from './rule-sets.js';

const classes = (['monitors', 'scanners', 'bots'] as const).flatMap((set) => {
  const { userAgents } = setPatterns[set];
  return userAgents ? [{ name: set.slice(0, -1) as AgentClass, matches: words(userAgents) }] : [];
});

/** What kind of program a user agent names. It may lie. */
export function agentClassOf(userAgent: string | undefined): AgentClass {
  if (userAgent === undefined || userAgent.trim() === '') return 'none';
  for (const { name, matches } of classes) if (matches(userAgent)) return name;
  return /^Mozilla\/|^Opera\//.test(userAgent) ? 'browser' : 'program';
}
