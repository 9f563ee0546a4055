import { adminOfFile } from '../../config/admin-of-file.js';
import type { Environment } from '../../config/interpolate.js';
import { showFile } from '../../config/path.js';
import { ConfigError, formatProblem, printable } from '../../config/problem.js';
import { Failure } from '../exit-codes.js';
import { configEnvironment, exampleFile } from '../package-directory.js';
import { usualFiles, usualMainFile } from '../usual-files.js';
import { readAtMost } from './read-at-most.js';

const longestToken = 4_096;

/** Options of every command that asks a daemon. */
export interface TargetOptions {
  readonly config?: string;
  readonly url?: string;
  readonly token?: string;
  readonly tokenFile?: string;
}

/** The admin side that a command asks. */
export interface AdminTarget {
  readonly at: { readonly socketPath: string } | { readonly url: URL };
  readonly token?: string;
  /** What named it, in words. */
  readonly source: string;
  /** A main file named it. */
  readonly isOfFile: boolean;
}

/** Finds the admin side: --url, else --config, else FASTCONTAINER_URL, else the main file that `start` would take. Throws a Failure. */
export function adminTarget(options: TargetOptions, env: Environment): AdminTarget {
  const given = tokenOf(options, env);
  const url = options.url ?? (options.config === undefined ? nonEmpty(env['FASTCONTAINER_URL']) : undefined);
  if (url !== undefined) {
    const source = options.url === undefined ? 'FASTCONTAINER_URL' : '--url';
    return { at: placeOf(url, source), source, isOfFile: false, ...(given !== undefined && { token: given }) };
  }
  const file = options.config ?? usualMainFile();
  const { listen, token: own } = adminOf(file, env);
  const token = given ?? own;
  const none = options.config === undefined && file === exampleFile;
  const source = none
    ? `as in the example of the package, since there is no ${usualFiles.join(' and no ')}`
    : `admin.listen of ${showFile(file)}`;
  const found = { source, isOfFile: true, ...(token !== undefined && { token }) };
  if ('path' in listen) return { at: { socketPath: listen.path }, ...found };
  if (listen.port === 0)
    throw new Failure(2, `${source} is port 0, which the system chooses at each start; name the admin side with --url`);
  return { at: { url: new URL(`http://${reachable(listen.host)}:${listen.port}`) }, ...found };
}

/** Whether the token goes over a network as it is. */
export function isTokenExposed({ at, token }: AdminTarget): boolean {
  if (token === undefined || !('url' in at) || at.url.protocol === 'https:') return false;
  return !/^(localhost|127(\.\d{1,3}){3}|\[::1\])$/.test(at.url.hostname);
}

function placeOf(written: string, source: string): AdminTarget['at'] {
  if (/^unix:./.test(written)) return { socketPath: written.slice('unix:'.length) };
  const url = URL.canParse(written) ? new URL(written) : undefined;
  const fault = (why: string) => new Failure(2, `${source} ${why}, such as https://admin.example:8443 or unix:PATH`);
  if (!url || !/^https?:$/.test(url.protocol)) throw fault('must be an address');
  if (url.username !== '' || url.password !== '' || url.pathname !== '/' || url.search !== '' || url.hash !== '')
    throw fault('must be an address without a user, a path and a query');
  return { url };
}

function tokenOf({ token, tokenFile }: TargetOptions, env: Environment): string | undefined {
  if (token !== undefined && tokenFile !== undefined) throw new Failure(2, 'give --token or --token-file, not both');
  const found = tokenFile === undefined ? (token ?? nonEmpty(env['FASTCONTAINER_TOKEN'])) : tokenIn(tokenFile);
  if (found !== undefined && !/^[!-~]{1,1000}$/.test(found))
    throw new Failure(2, 'the token must be one word of visible ASCII characters');
  return found;
}

function tokenIn(file: string): string {
  try {
    return readAtMost(file, longestToken).toString().trim();
  } catch (error) {
    throw new Failure(2, `--token-file: ${printable((error as Error).message)}`);
  }
}

function adminOf(file: string, env: Environment): ReturnType<typeof adminOfFile> {
  try {
    return adminOfFile(file, configEnvironment(env));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const lines = error.problems.map(formatProblem).join('\n');
    throw new Failure(1, `${lines}\nor name the admin side with --url`);
  }
}

/** Where a listener on this host is reached from this machine. */
function reachable(host: string | undefined): string {
  if (host === undefined || host === '0.0.0.0' || host === '::') return '127.0.0.1';
  return host.includes(':') ? `[${host}]` : host;
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}
