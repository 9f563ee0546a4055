import { type ApiClient, appPath, type Json } from './api-client.js';
import { jsonLine, type Screen } from './screen.js';
import { fields } from './table.js';

export interface MaintenanceOptions {
  readonly name: string;
  /** `app`: as the app itself says. Absent: only told. */
  readonly mode?: string;
  readonly text?: string;
  readonly json: boolean;
}

/** Puts an app into maintenance or out of it, or tells whether it is. */
export async function maintenance(client: ApiClient, screen: Screen, options: MaintenanceOptions): Promise<void> {
  const { name, mode, text, json } = options;
  const path = appPath(name, '/maintenance');
  const { body } =
    mode === undefined
      ? await client.ask('GET', appPath(name))
      : mode === 'app'
        ? await client.ask('DELETE', path)
        : await client.ask('PUT', path, { body: { mode, ...(text !== undefined && { text }) } });
  // The app itself tells only its mode, and nothing if that is off.
  const told: unknown = body.maintenance ?? 'off';
  const held: Json = typeof told === 'string' ? { mode: told } : told;
  if (json) return screen.out(`${jsonLine({ name: body.name, maintenance: held })}\n`);
  const source = held.source === 'operator' ? `operator, by ${held.token} since ${held.since}` : 'the app itself';
  const rows = [
    ['app', body.name],
    ['maintenance', held.mode],
    ['text', held.text],
    ['said by', source],
  ] as const;
  screen.out(fields(rows, screen));
}
