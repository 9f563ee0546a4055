import type { App } from '../../model/app.js';

/** An app to store, the text of its record to write and as it stands, and the claims of its domains as they stand. */
export interface Wanted {
  readonly app: App;
  readonly text: string;
  readonly before: string | undefined;
  readonly claims: ReadonlyMap<string, string | undefined>;
}
