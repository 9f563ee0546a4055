import type { Test } from 'tap';
import { appsConformance } from './conformance/apps.js';
import { changeLogConformance } from './conformance/change-log.js';
import { deploymentsConformance } from './conformance/deployments.js';
import { domainsConformance } from './conformance/domains.js';
import { editsConformance } from './conformance/edits.js';
import { ledgerConformance } from './conformance/ledger.js';
import { filesConformance } from './conformance/files.js';
import { originsConformance } from './conformance/origins.js';
import { pinsConformance } from './conformance/pins.js';
import { randomConformance } from './conformance/random.js';
import { scheduleConformance } from './conformance/schedule.js';
import { signaturesConformance } from './conformance/signatures.js';
import { sealedConformance } from './conformance/sealed.js';
import { sessionsConformance } from './conformance/sessions.js';
import { usageConformance } from './conformance/usage.js';
import { unreadableConformance } from './conformance/unreadable.js';
import type { CmdbUnderTest, StoreTest } from './conformance/store.js';

/** Every sentence of the port, on a store that `fresh` makes anew for each test. */
export function cmdbConformance(t: Test, fresh: (t: Test) => Promise<CmdbUnderTest>): void {
  const test: StoreTest = (name, run) =>
    void t.test(name, async (t) => {
      const store = await fresh(t);
      await run(t, store.open(), store);
    });
  appsConformance(test);
  domainsConformance(test);
  deploymentsConformance(test);
  changeLogConformance(test);
  scheduleConformance(test);
  sessionsConformance(test);
  unreadableConformance(test);
  signaturesConformance(test);
  originsConformance(test);
  filesConformance(test);
  editsConformance(test);
  sealedConformance(test);
  pinsConformance(test);
  ledgerConformance(test);
  usageConformance(test);
  randomConformance(test);
}
