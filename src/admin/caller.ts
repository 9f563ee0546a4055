import type { AppRecord } from '../cmdb/cmdb.js';
import type { CustomerTerms } from '../config/customer-terms.js';
import type { App } from '../model/app.js';

/** What a caller may do; each scope includes those before it. */
export const scopes = ['read', 'operate', 'write'] as const;

export type Scope = (typeof scopes)[number];

/** Who sends a request, as far as the admin side knows. */
export interface Caller {
  /** The token's name, for the audit log. */
  readonly name: string;
  readonly scope: Scope;
  /** The caller knows only apps with all these labels, and what it puts gets them. */
  readonly labels?: Readonly<Record<string, string>>;
  /** The caller is a customer: its apps are bound by these terms. */
  readonly terms?: CustomerTerms;
}

export function mayDo({ scope }: Caller, needed: Scope): boolean {
  return scopes.indexOf(scope) >= scopes.indexOf(needed);
}

/** Whether the caller may know of an app. */
export function knows({ labels = {} }: Caller, { labels: has }: Pick<App, 'labels'>): boolean {
  return Object.entries(labels).every(([name, value]) => Object.hasOwn(has, name) && has[name] === value);
}

/** The record, if the caller may know of it. */
export function known(caller: Caller, record: AppRecord | undefined): AppRecord | undefined {
  return record && knows(caller, record.app) ? record : undefined;
}
