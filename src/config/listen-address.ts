import { BlockList, isIP } from 'node:net';
import { join, resolve } from 'node:path';

/** Where a server listens. Without `host`: on all addresses. Port 0: any free one. */
export interface ListenAddress {
  readonly host?: string;
  readonly port: number;
}

/** Where clients connect to. */
export interface PublicAddress extends ListenAddress {
  /** Connections of trusted proxies begin with a PROXY header. */
  readonly proxyProtocol?: boolean;
  /** Over TLS: false if clients may not choose HTTP/2. */
  readonly http2?: boolean;
}

/** A UNIX socket at an absolute path. */
export interface ListenSocket {
  readonly path: string;
}

/** `host:port`, `:port`, `[::1]:port`; undefined for any other text. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  if (!match) return undefined;
  const port = Number(match[3]);
  if (port > 65_535) return undefined;
  const [, ipv6, host] = match;
  if (ipv6 !== undefined) return isIP(ipv6) === 6 ? { host: ipv6, port } : undefined;
  if (host === '' || host === undefined) return { port };
  return /^[a-z0-9._-]+$/i.test(host) ? { host, port } : undefined;
}

/** `unix:PATH`, relative to the working directory, or what `parseListenAddress` reads. */
export function adminAddress(text: string): ListenAddress | ListenSocket | undefined {
  return /^unix:./.test(text) ? { path: resolve(text.slice('unix:'.length)) } : parseListenAddress(text);
}

/** What `admin.listen` is if nothing says it. */
export function defaultAdmin(stateDir: string): string {
  return `unix:${join(resolve(stateDir), 'admin.sock')}`;
}

/** The spelling that `parseListenAddress` reads, or `unix:PATH`. */
export function formatListenAddress(address: ListenAddress | ListenSocket): string {
  if ('path' in address) return `unix:${address.path}`;
  const host = address.host ?? '';
  return `${host.includes(':') ? `[${host}]` : host}:${address.port}`;
}

/** Whether only this machine can reach it: 127.0.0.0/8, ::1, localhost, a UNIX socket. */
export function isLoopback(address: ListenAddress | ListenSocket): boolean {
  if ('path' in address) return true;
  if (address.host === undefined) return false;
  return address.host.toLowerCase() === 'localhost' || isLoopbackIp(address.host);
}

/** True for 127.0.0.0/8 and ::1. */
export function isLoopbackIp(host: string): boolean {
  const family = isIP(host);
  if (family === 0) return false;
  const loopback = new BlockList();
  loopback.addSubnet('127.0.0.0', 8);
  loopback.addAddress('::1', 'ipv6');
  return loopback.check(host, family === 6 ? 'ipv6' : 'ipv4');
}
