import { readFileSync } from 'node:fs';
import { Cluster, Redis, type RedisOptions } from '../../libraries/ioredis.js';

/** A client of one server, perhaps managed by Sentinel, or of a cluster. */
export type RedisClient = Redis | Cluster;

export interface ConnectOptions {
  /**
   * `redis://`, `rediss://` (TLS), `redis+unix:///path?db=0`, `redis-sentinel://h1:p,h2:p/master/db`,
   * `redis-cluster://h1:p,h2:p`; includes user and password.
   */
  readonly url: string;
  /** PEM file of the authority that signed the server's certificate. */
  readonly caFile?: string;
  /** Limit of each command, in milliseconds. */
  readonly timeLimitMs: number;
}

/** Options under which replies have their plain form. */
type ClientOptions = Omit<RedisOptions, 'replyMapping'>;

interface Credentials {
  readonly username?: string;
  readonly password?: string;
}

interface Target extends Credentials {
  readonly scheme: string;
  readonly nodes: readonly { readonly host: string; readonly port: number }[];
  readonly path: readonly string[];
}

interface SocketTarget extends Credentials {
  readonly socket: string;
  readonly db: number;
}

const pattern = /^(rediss?(?:-sentinel|-cluster)?):\/\/(?:([^:@/]*)(?::([^@/]*))?@)?([^/?]+)(?:\/([^?]*))?/;
const socketPattern = /^redis\+unix:\/\/(?:([^:@/]*)(?::([^@/]*))?@)?(\/[^?]+)(?:\?db=(\d+))?$/;
const defaultPorts: Record<string, number> = { sentinel: 26_379 };

/**
 * A client that connects in the background, and again after each loss. Without a connection commands fail at once; they are never
 * resent, as the writer itself finds out whether a write landed.
 */
export function connect(options: ConnectOptions, overrides: ClientOptions = {}): RedisClient {
  const target = parseSocket(options.url) ?? parse(options.url);
  const { username, password } = target;
  const common: ClientOptions = {
    ...(username ? { username } : {}),
    ...(password ? { password } : {}),
    ...('scheme' in target && target.scheme.startsWith('rediss')
      ? { tls: options.caFile ? { ca: readFileSync(options.caFile) } : {} }
      : {}),
    commandTimeout: options.timeLimitMs,
    connectTimeout: options.timeLimitMs,
    // A silent peer, frozen or behind a dropped route, never closes, so its connection is replaced.
    socketTimeout: options.timeLimitMs,
    disconnectTimeout: options.timeLimitMs,
    // After a failover the old master refuses writes, so that its name must be resolved again.
    reconnectOnError: (error) => error.message.includes('READONLY'),
    // Both need commands that a restricted user may lack; a server that is still loading says so itself.
    enableReadyCheck: false,
    disableClientInfo: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: (attempt) => Math.min(1_000, 50 * 2 ** Math.min(attempt, 5)),
    ...overrides,
  };
  if ('socket' in target) return new Redis({ ...common, path: target.socket, db: target.db });
  if (target.scheme.endsWith('-cluster')) {
    const { retryStrategy, ...redisOptions } = common;
    return new Cluster([...target.nodes], {
      redisOptions,
      enableOfflineQueue: false,
      clusterRetryStrategy: (attempt) => retryStrategy?.(attempt) as number,
    });
  }
  if (target.scheme.endsWith('-sentinel')) {
    const [name = 'mymaster', db = '0'] = target.path;
    return new Redis({
      ...common,
      sentinels: [...target.nodes],
      name,
      db: Number(db),
      sentinelCommandTimeout: options.timeLimitMs,
    });
  }
  const [node] = target.nodes;
  return new Redis({
    ...common,
    host: node?.host ?? 'localhost',
    port: node?.port ?? 6_379,
    db: Number(target.path[0] ?? 0),
  });
}

function parse(url: string): Target {
  const match = pattern.exec(url);
  if (!match) throw new Error(`the CMDB's URL cannot be read; write redis://[user:password@]host:port/db`);
  const [, scheme = '', username, password, hosts = '', path = ''] = match;
  const defaultPort = defaultPorts[scheme.split('-')[1] ?? ''] ?? 6_379;
  return {
    scheme,
    nodes: hosts.split(',').map((node) => nodeOf(node, defaultPort)),
    path: path.split('/').filter(Boolean),
    ...credentials(username, password),
  };
}

function parseSocket(url: string): SocketTarget | undefined {
  const match = socketPattern.exec(url);
  if (!match) return undefined;
  const [, username, password, socket = '', db = '0'] = match;
  return { socket: decodeURIComponent(socket), db: Number(db), ...credentials(username, password) };
}

function credentials(username: string | undefined, password: string | undefined): Credentials {
  return {
    ...(username ? { username: decodeURIComponent(username) } : {}),
    ...(password ? { password: decodeURIComponent(password) } : {}),
  };
}

function nodeOf(text: string, defaultPort: number): { host: string; port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(text);
  if (!match) throw new Error(`the CMDB's URL has no host and port in '${text}'`);
  return { host: match[1] ?? match[2] ?? '', port: Number(match[3] ?? defaultPort) };
}
