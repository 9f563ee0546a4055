import { adminTarget, isTokenExposed, type TargetOptions } from './admin-target.js';
import { ApiClient } from './api-client.js';
import { processScreen, type Screen } from './screen.js';

/** The client and the screen of this process. Throws a Failure. */
export function connectTo(options: TargetOptions): { readonly client: ApiClient; readonly screen: Screen } {
  const screen = processScreen(process.env, process.stdout.isTTY);
  const target = adminTarget(options, process.env);
  if (isTokenExposed(target)) screen.err('warning: the token goes over the network as it is; use an https address\n');
  // A reader that has seen enough, such as head, is no fault.
  process.stdout.on('error', ({ code }: NodeJS.ErrnoException) => process.exit(code === 'EPIPE' ? 0 : 1));
  return { client: new ApiClient(target), screen };
}
