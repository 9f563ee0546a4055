import { type ApiClient, appPath } from './api-client.js';
import { printWrite } from './put.js';
import type { Screen } from './screen.js';

export interface RmOptions {
  readonly name: string;
  readonly json: boolean;
  readonly dryRun: boolean;
  readonly ifMatch?: string;
}

/** Removes an app that was put by API. */
export async function rm(client: ApiClient, screen: Screen, { name, json, dryRun, ifMatch }: RmOptions): Promise<void> {
  const { body } = await client.ask('DELETE', appPath(name), {
    query: { dryRun: dryRun ? 'true' : undefined },
    headers: { 'if-match': ifMatch },
  });
  printWrite(body, { json }, screen);
  if (!json && body.ending > 0) screen.out(`${body.ending} of its instances end when their requests have\n`);
}
