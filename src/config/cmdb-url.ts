import { isLoopback, parseListenAddress } from './listen-address.js';

const networkSchemes = ['redis', 'rediss', 'redis-sentinel', 'rediss-sentinel', 'redis-cluster', 'rediss-cluster'];

const schemesText = 'lmdb:PATH, redis://, rediss://, redis+unix://, redis-sentinel:// or redis-cluster://';

const host = '(?:\\[[0-9a-fA-F:.]+\\]|[^,:/?#@\\[\\]\\s]+)(?::\\d{1,5})?';
const networkUrl = new RegExp(`^[a-z-]+://(?:[^:@/\\s]*(?::[^:@/\\s]*)?@)?(${host}(?:,${host})*)(?:/([^?#\\s]*))?$`);

/** `redis+unix://[USER:PASSWORD@]/PATH[?db=NUMBER]`: a server's UNIX socket. */
const socketUrl = /^redis\+unix:\/\/(?:[^:@/\s]*(?::[^:@/\s]*)?@)?\/[^?#\s]+(?:\?db=\d{1,5})?$/;

/** Judges scheme and shape; whether anyone answers there is another matter. */
export function readCmdbUrl(text: string): { readonly fault?: string } {
  const scheme = /^([a-z][a-z0-9+.-]*):/.exec(text)?.[1];
  if (scheme === 'lmdb')
    return text.length > 'lmdb:'.length ? {} : { fault: 'names no directory; write lmdb:./data/cmdb' };
  if (scheme === 'redis+unix') {
    return socketUrl.test(text) ? {} : { fault: 'is not readable; write redis+unix:///run/redis/redis.sock?db=0' };
  }
  if (scheme === undefined || !networkSchemes.includes(scheme)) return { fault: `must begin with ${schemesText}` };
  const [, hosts = '', path = ''] = networkUrl.exec(text) ?? [];
  if (hosts === '') {
    const hint = `write ${scheme}://:PASSWORD@10.0.0.7:6379, with : @ and / in the password as %3A %40 and %2F`;
    return { fault: `is not readable; ${hint}` };
  }
  if (scheme.includes('-')) return {};
  if (hosts.includes(',')) return { fault: `names several hosts; write ${scheme}-cluster:// or ${scheme}-sentinel://` };
  return /^\d*$/.test(path) ? {} : { fault: 'must end in the number of a database or nothing' };
}

/** What others on the way to a store, or beside it, could do; in words with a remedy. */
export function storeWarnings(url: string): string[] {
  const [, scheme = '', credentials = '', hosts = ''] = /^([a-z+-]+):\/\/(?:([^@/]*)@)?([^/]*)/.exec(url) ?? [];
  if (!networkSchemes.includes(scheme)) return [];
  const isExposed = !hosts
    .split(',')
    .every((text) => isLoopback(parseListenAddress(text) ?? { host: bareHost(text), port: 0 }));
  return [
    ...(/:./.test(credentials)
      ? []
      : [
          'cmdb: Redis is used without a password: anyone who reaches it can read the secrets of apps and take all of them down; ' +
            'give it a user of its own (docs/redis.md)',
        ]),
    ...(isExposed && !scheme.startsWith('rediss')
      ? [
          `cmdb: the connection to Redis at ${hosts} is not encrypted: the network sees its password and the secrets of apps; use rediss://`,
        ]
      : []),
  ];
}

function bareHost(text: string): string {
  return text.replace(/^\[|\]$/g, '');
}

/** Path of an `lmdb:` URL; undefined for another store. */
export function lmdbPath(url: string): string | undefined {
  return url.startsWith('lmdb:') ? url.slice('lmdb:'.length) : undefined;
}
