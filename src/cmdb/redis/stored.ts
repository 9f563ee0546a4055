import type { StoredApp, StoredDeployment } from '../record-format.js';

/** What is stored of one app, and the exact text of its record. */
export interface Stored {
  readonly app: StoredApp | undefined;
  readonly appText: string | undefined;
  readonly deployment: StoredDeployment;
}
