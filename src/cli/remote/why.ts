import { printable } from '../../config/problem.js';
import { type ApiClient, appPath } from './api-client.js';
import { jsonLine, type Screen } from './screen.js';

export interface WhyOptions {
  readonly name: string;
  readonly json: boolean;
}

/** Says why an app is awake or asleep, and what it wrote last if it failed. */
export async function why(client: ApiClient, screen: Screen, { name, json }: WhyOptions): Promise<void> {
  const { body } = await client.ask('GET', appPath(name, '/why'));
  if (json) return screen.out(`${jsonLine(body)}\n`);
  screen.out(`${printable(String(body.sentence))}\n`);
  const { at, message, output } = body.failure ?? {};
  if (at === undefined) return;
  screen.out(`${screen.style('red', 'last failure')}  ${printable(`${at}: ${message}`)}\n`);
  const lines = String(output ?? '').trimEnd();
  if (lines !== '') for (const line of lines.split('\n')) screen.out(screen.style('dim', `    | ${printable(line)}\n`));
}
