import type { App } from './app.js';
import type { Deployment } from './deployment.js';
import { RequestError } from './errors.js';

/** What becomes of requests instead of being sent to the app. */
export type Maintenance = App['maintenance'];

/** What an operator said by API, in the place of what the app itself says. */
export interface OrderedMaintenance extends Maintenance {
  /** Name of the token. */
  readonly by: string;
  /** Epoch milliseconds. */
  readonly since: number;
}

/** What holds now; undefined: requests are sent to the app. */
export function maintenanceOf({ maintenance }: App, deployment: Deployment): Maintenance | undefined {
  const said = deployment.maintenance ?? maintenance;
  return said.mode === 'off' ? undefined : said;
}

/** The answer to a request that the app does not get. */
export function maintenanceError({ text, retryAfterMs }: Maintenance): RequestError {
  return new RequestError('maintenance', text, { retryAfterS: Math.ceil(retryAfterMs / 1_000) });
}

/** An operator says what holds from now on; `undefined` leaves it to the app. */
export function orderMaintenance(deployment: Deployment, order: OrderedMaintenance | undefined): Deployment {
  const { maintenance: _before, ...rest } = deployment;
  return order ? { ...rest, maintenance: order } : rest;
}
