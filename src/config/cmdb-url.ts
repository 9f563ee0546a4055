const networkSchemes = ['redis', 'rediss', 'redis-sentinel', 'rediss-sentinel', 'redis-cluster', 'rediss-cluster'];

const schemesText = 'lmdb:PATH, redis://, rediss://, redis-sentinel:// or redis-cluster://';

/** Judges the scheme and the shape only; what an adapter makes of hosts and paths is its own affair. */
export function readCmdbUrl(text: string): { readonly fault?: string } {
  const scheme = /^([a-z][a-z0-9+.-]*):/.exec(text)?.[1];
  if (scheme === 'lmdb') return text.length > 'lmdb:'.length ? {} : { fault: 'names no directory; write lmdb:./data/cmdb' };
  if (scheme === undefined || !networkSchemes.includes(scheme)) return { fault: `must begin with ${schemesText}` };
  if (!/^[^:]+:\/\/[^/?#\s]+([/?#]\S*)?$/.test(text)) return { fault: `must name a host, as in ${scheme}://10.0.0.7:6379` };
  return {};
}

/** Path of an `lmdb:` URL; undefined for another store. */
export function lmdbPath(url: string): string | undefined {
  return url.startsWith('lmdb:') ? url.slice('lmdb:'.length) : undefined;
}
