import type { Test } from 'tap';
import type { AppRecord, Cmdb, Session } from '../../../src/cmdb/cmdb.js';
import type { RecordSigner, SignedKind } from '../../../src/cmdb/record-signer.js';
import { testApp } from '../../fixtures/app.js';

export interface CmdbUnderTest {
  /** Another handle on the same store; closed with the test. */
  open(): Cmdb;
  /** Reports of records that could not be read, by all handles. */
  readonly unreadable: string[];
  /** Reports that a record can be read again, by all handles. */
  readonly readable: string[];
  /** What its records are signed with. */
  readonly signer: RecordSigner;
  /** Another handle that signs with another key; closed with the test. */
  openAs(signer: RecordSigner): Cmdb;
  /** Another handle on whose clock it is that time, and which keeps usage for three days; closed with the test. */
  openAt(now: () => number): Cmdb;
  /** A stored record as it stands. */
  stored(kind: SignedKind, name: string): Promise<string>;
  /** Replaces a stored record by this text; undefined takes it away. A domain's is the claim on it. */
  spoil(kind: RecordKind, name: string, text: string | undefined): Promise<void>;
  /** Everything under which something is stored, except for the change log, usage and the store's identity. */
  remnants(): Promise<string[]>;
  /** The length of the change log, short enough to fall off. */
  readonly logLength: number;
}

export type RecordKind = 'app' | 'deployment' | 'domain' | 'session';

/** Registers a test with a store of its own. */
export type StoreTest = (name: string, run: (t: Test, cmdb: Cmdb, store: CmdbUnderTest) => Promise<void>) => void;

export const app = testApp({ name: 'shop', domains: ['shop.example', '*.shop.example'], idleTtlMs: 10_000 });
export const claim = { id: 'shop-1', host: 'here', owner: 'me' };

export function session(incarnation: string, beats = 0): Session {
  return { incarnation, host: 'here', beats, process: { pid: 1, startTime: '1', bootId: 'b' } };
}

export async function names(cmdb: Cmdb, which: 'all' | 'active'): Promise<string[]> {
  const found: AppRecord[] = [];
  for await (const record of cmdb.list(which)) found.push(record);
  return found.map(({ app: { name } }) => name).toSorted();
}

/** Replaces a record by this text as who has the key would. */
export function spoilSigned(store: CmdbUnderTest, kind: SignedKind, name: string, text: string): Promise<void> {
  return store.spoil(kind, name, store.signer.sign(kind, name, text));
}

/** The app that a domain leads to. */
export async function ownerOf(cmdb: Cmdb, domain: string): Promise<string | undefined> {
  return (await cmdb.find({ domain }))?.app.name;
}
