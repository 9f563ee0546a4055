import { printable } from '../../config/problem.js';
import { Failure } from '../exit-codes.js';
import { type ApiClient, appPath } from './api-client.js';
import { jsonLine, type Screen } from './screen.js';

export type Operation = 'boot' | 'stop' | 'restart' | 'drain';

export interface OperateOptions {
  readonly name: string;
  readonly operation: Operation;
  readonly json: boolean;
  /** Until it is done, as long as the daemon does. */
  readonly wait: boolean;
}

/** Boots, stops, restarts or drains an app. Throws a Failure if it was waited for and is not done. */
export async function operate(client: ApiClient, screen: Screen, options: OperateOptions): Promise<void> {
  const { name, operation, json, wait } = options;
  // A drain never waits, so its route knows no such thing.
  const query = operation === 'drain' ? {} : { wait: String(wait) };
  const { body } = await client.ask('POST', `${appPath(name)}/${operation}`, { query });
  if (json) screen.out(`${jsonLine(body)}\n`);
  const shown = printable(name);
  if (!json)
    screen.out(`app ${shown}: ${printable(String(body.state))}${body.done ? '' : `, the ${operation} goes on`}\n`);
  if (!body.done && wait && operation !== 'drain')
    throw new Failure(
      1,
      `the ${operation} of app ${shown} is not done yet: it goes on; see fastcontainer app ${shown}`,
    );
}
