import { isIPv6 } from 'node:net';
import type { Config } from '../../config/config.js';
import { formatListenAddress, isLoopback } from '../../config/listen-address.js';
import { formatDuration, formatSize } from '../../model/units.js';
import type { App } from '../../model/app.js';
import type { Findings } from './host-check.js';

/** Longest timeout that is not warned of. */
const longMs = 600_000;
const largeHeaderBytes = 128 * 1024;
const mostNames = 5;

/** Warns of configured limits that let a client or an app take too much. */
export function checkLimits(config: Config): Findings {
  return {
    problems: [],
    warnings: [
      ...proxyWarnings(config),
      ...httpWarnings(config),
      ...adminWarnings(config),
      ...appWarnings(config.apps),
    ],
  };
}

function proxyWarnings({ trustedProxies }: Config): string[] {
  return trustedProxies
    .filter(isWide)
    .map(
      (entry) =>
        `trustedProxies: ${entry} has strangers among its addresses: each of them could say that it is any client, and no limit per ` +
        'client holds for it; name the proxies themselves',
    );
}

/** Whether it is larger than any single network; private ranges (fc00::/7) are not. */
function isWide(entry: string): boolean {
  const [address = '', bits] = entry.split('/');
  if (bits === undefined) return false;
  return isIPv6(address) ? Number(bits) < 16 && !/^f[cd]/i.test(address) : Number(bits) < 8;
}

function httpWarnings({ http }: Config): string[] {
  const patience = {
    headersTimeout: http.headersTimeoutMs,
    requestBodyIdleTimeout: http.requestBodyIdleTimeoutMs,
    responseStallTimeout: http.responseStallTimeoutMs,
  };
  return [
    ...Object.entries(patience)
      .filter(([, ms]) => ms > longMs)
      .map(
        ([key, ms]) =>
          `http.${key}: ${formatDuration(ms)} is how long a client that stops keeps its connection and its place at an app`,
      ),
    ...(http.requestBodyMinRateBytes === 0
      ? [
          'http.requestBodyMinRate: 0b is no bound: a client that sends a byte now and then keeps its place at an app for as long as ' +
            'it likes; the default is 500b',
        ]
      : []),
    ...(http.maxConnectionsPerClient * 2 >= http.maxConnections
      ? [
          `http.maxConnectionsPerClient: ${http.maxConnectionsPerClient} lets one client have half of all connections ` +
            `(http.maxConnections: ${http.maxConnections})`,
        ]
      : []),
    ...(http.maxHeaderSizeBytes > largeHeaderBytes
      ? [
          `http.maxHeaderSize: ${formatSize(http.maxHeaderSizeBytes)} is what a single request may make this process read`,
        ]
      : []),
  ];
}

function adminWarnings({ admin: { listen, token } }: Config): string[] {
  if ('path' in listen) return [];
  const key = `admin.listen: ${formatListenAddress(listen)}`;
  if (!isLoopback(listen)) {
    return [`${key} is neither loopback nor encrypted: the network sees the token; use unix:PATH, or a proxy with TLS`];
  }
  return token === undefined
    ? [`${key} without a token answers every user and program of this host; use unix:PATH, or set admin.token`]
    : [];
}

function appWarnings(apps: readonly App[]): string[] {
  const lifted: readonly (readonly [what: string, is: (app: App) => boolean])[] = [
    ['concurrency.clientShare: 1 lets one client take all places', ({ concurrency }) => concurrency.clientShare >= 1],
    [
      'limits.memory: unlimited lets an instance take all of the host',
      ({ limits }) => limits.memoryBytes === undefined,
    ],
    [
      'limits.pids: unlimited lets an instance take all processes of the host',
      ({ limits }) => limits.pids === undefined,
    ],
    [
      'limits.files: unlimited lets an instance open as many files as the host has',
      ({ limits }) => limits.files === undefined,
    ],
  ];
  return lifted.flatMap(([what, is]) => {
    const names = apps.filter(is).map(({ name }) => name);
    return names.length === 0 ? [] : [`${appsOf(names)}: ${what}`];
  });
}

function appsOf(names: readonly string[]): string {
  const more = names.length > mostNames ? ` and ${names.length - mostNames} more` : '';
  return `${names.length > 1 ? 'apps' : 'app'} ${names.slice(0, mostNames).join(', ')}${more}`;
}
