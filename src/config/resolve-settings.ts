import { availableParallelism, hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { lmdbPath } from './cmdb-url.js';
import type {
  AcmeSettings,
  AuthoritySettings,
  DockerSettings,
  LogLevel,
  Main,
  OciSettings,
  Settings,
  TlsSettings,
} from './config.js';
import type { Report } from './explain.js';
import type { Environment } from './interpolate.js';
import {
  adminAddress,
  defaultAdmin,
  formatListenAddress,
  isLoopback,
  isLoopbackIp,
  parseListenAddress,
  type PublicAddress,
} from './listen-address.js';
import { type SharedKeys, sharedSchema } from '../model/app-keys.js';
import { codec, merge } from '../model/schema/parsed.js';
import { cmdbSchema, type MainFile, mainSchema } from './schema/main-file.js';

const mainCodec = codec(mainSchema);
const cmdbCodec = codec(cmdbSchema);

/** The kernel's limit in bytes, without the final NUL. */
const longestSocketPath = 107;

/**
 * The settings of the main file, which is in `directory`. Reports what does not fit together. `written` passed the schema.
 */
export function resolveSettings(written: MainFile, directory: string, env: Environment, report: Report): Settings {
  const main = mainCodec.read(written);
  const stateDir = resolve(main.stateDir);
  const processDir = resolve(main.runtimes.process.stateDir ?? join(stateDir, 'process'));
  return {
    listen: resolveListen(main, report),
    tls: resolveTls(main, directory, report),
    admin: resolveAdmin(main.admin, written.plans ?? {}, stateDir, report),
    cmdb: resolveCmdb(main, report),
    node: { ...main.node, host: main.node.host ?? hostname() },
    workers: main.workers === 'auto' ? availableParallelism() : main.workers,
    stateDir,
    mounts: main.mounts.roots === undefined ? {} : { roots: main.mounts.roots.map((root) => resolve(root)) },
    runtimes: {
      process: {
        ...main.runtimes.process,
        stateDir: processDir,
        scratchDir: resolve(main.runtimes.process.scratchDir ?? defaultScratch(processDir)),
      },
      docker: resolveDocker(main.runtimes.docker, report),
      oci: resolveOci(main.runtimes.oci, stateDir),
    },
    http: main.http,
    trustedProxies: main.trustedProxies,
    boot: { ...main.boot, concurrency: main.boot.concurrency ?? 2 * availableParallelism() },
    wake: { budget: nodeBudget(main.wake.budget) },
    memory: main.memory,
    ...(main.maxRemovals !== undefined && { maxRemovals: main.maxRemovals }),
    log: { level: resolveLevel(main.log.level, env, report) },
    usage: main.usage,
    ...resolveAccessLog(main.accessLog),
    plans: written.plans ?? {},
    defaults: defaultsOf(written),
  };
}

/** What apps have if neither they nor their plan say it: `wake` of the main file is a part of it. */
export function defaultsOf({ defaults = {}, wake }: Pick<MainFile, 'defaults' | 'wake'>): SharedKeys {
  if (wake === undefined) return defaults;
  const { budget: { perApp } = {}, ...others } = wake;
  return merge(sharedSchema, [defaults, { wake: { ...others, ...(perApp !== undefined && { budget: { perApp } }) } }]);
}

function nodeBudget({ perClient, total }: Main['wake']['budget']): Settings['wake']['budget'] {
  return { ...(perClient !== undefined && { perClient }), ...(total !== undefined && { total }) };
}

/** Not below `stateDir` if the daemon is root: other users cannot enter that. */
function defaultScratch(processDir: string): string {
  return process.geteuid?.() === 0 ? '/var/lib/fastcontainer-scratch' : join(processDir, 'scratch');
}

function resolveListen(main: Main, report: Report): Settings['listen'] {
  const seen = new Map<string, string>();
  if (main.admin.listen !== undefined) seen.set(main.admin.listen, 'admin');
  for (const key of ['http', 'https'] as const) {
    (main.listen[key] ?? []).map(publicAddress).forEach(({ address: text, proxyProtocol }, index) => {
      if (proxyProtocol && main.trustedProxies.length === 0)
        report(['listen', key, index], 'proxyProtocol needs trustedProxies: only their headers are believed');
      const before = text.endsWith(':0') ? undefined : seen.get(text);
      if (before === 'admin') report(['admin', 'listen'], `${text} is also an address of listen.${key}`);
      else if (before === key) report(['listen', key, index], `${text} is listed twice`);
      else if (before !== undefined) report(['listen', key, index], `${text} is also an address of listen.${before}`);
      else seen.set(text, key);
    });
  }
  const addresses = (listed: readonly PublicListed[]) =>
    listed.map(publicAddress).flatMap(({ address, proxyProtocol, http2 = true }): PublicAddress[] => {
      const parsed = parseListenAddress(address);
      return parsed ? [{ ...parsed, ...(proxyProtocol && { proxyProtocol }), ...(!http2 && { http2 }) }] : [];
    });
  return { http: addresses(main.listen.http), https: addresses(main.listen.https ?? []) };
}

type PublicListed = NonNullable<Main['listen']['https']>[number];

function publicAddress(listed: PublicListed): Exclude<PublicListed, string> {
  return typeof listed === 'string' ? { address: listed } : listed;
}

function resolveTls({ tls, listen }: Main, directory: string, report: Report): TlsSettings {
  const { certificates, default: fallback, unknown, handshakeTimeoutMs } = tls;
  const acme = resolveAcme(tls.acme, directory, report);
  const hasSome = certificates !== undefined || fallback !== undefined || acme !== undefined;
  if (listen.https !== undefined && !hasSome)
    report(['listen', 'https'], 'needs tls.certificates, tls.default or tls.acme');
  if (listen.https === undefined && hasSome) report(['tls'], 'has a use only with listen.https');
  if (unknown === 'default' && fallback === undefined) report(['tls', 'unknown'], 'default needs tls.default');
  return {
    certificates: (certificates ?? []).map((pattern) => resolve(directory, pattern)),
    ...(fallback !== undefined && { default: resolve(directory, fallback) }),
    unknown,
    ...(acme && { acme }),
    handshakeTimeoutMs,
  };
}

function resolveAcme(
  { key, email, fallback, dns, ...first }: Main['tls']['acme'],
  directory: string,
  report: Report,
): AcmeSettings | undefined {
  const own = resolveAuthority(first, directory, ['tls', 'acme'], report);
  const other = resolveAuthority(fallback, directory, ['tls', 'acme', 'fallback'], report);
  if (!own) {
    if ((key ?? email) !== undefined || other) report(['tls', 'acme'], 'needs directory, the URL of an authority');
    return undefined;
  }
  if (key === undefined) {
    report(['tls', 'acme'], 'needs key, the same on all machines that share the store (openssl rand -base64 32)');
    return undefined;
  }
  if (other?.directory === own.directory) report(['tls', 'acme', 'fallback'], 'is the same authority');
  const { command, user, timeoutMs } = dns;
  if (user !== undefined && command === undefined) report(['tls', 'acme', 'dns'], 'needs command');
  return {
    ...{ key, authorities: other ? [own, other] : [own] },
    ...(email !== undefined && { email }),
    ...(command && { dns: { command, timeoutMs, ...(user !== undefined && { user }) } }),
  };
}

function resolveAuthority(
  { directory: url, caFile, eab: { kid, hmac } }: Main['tls']['acme']['fallback'],
  directory: string,
  path: string[],
  report: Report,
): AuthoritySettings | undefined {
  if ((kid === undefined) !== (hmac === undefined)) report([...path, 'eab'], 'needs both kid and hmac');
  if (url === undefined) {
    if ((caFile ?? kid ?? hmac) !== undefined) report(path, 'needs directory, the URL of an authority');
    return undefined;
  }
  return {
    directory: url,
    ...(caFile !== undefined && { caFile: resolve(directory, caFile) }),
    ...(kid !== undefined && hmac !== undefined && { eab: { kid, hmac } }),
  };
}

function resolveAdmin(
  { listen: written, socket, token, tokens }: Main['admin'],
  plans: Settings['plans'],
  stateDir: string,
  report: Report,
): Settings['admin'] {
  const address = adminAddress(written ?? defaultAdmin(stateDir))!;
  if ('path' in address && Buffer.byteLength(address.path) > longestSocketPath) {
    report(
      ['admin', 'listen'],
      `${address.path} has more than ${longestSocketPath} bytes, too many for a socket; choose a shorter path`,
    );
  }
  if (token === undefined && tokens.length === 0 && !isLoopback(address)) {
    const got = `got ${formatListenAddress(address)} without a token`;
    report(['admin', 'token'], `is required if admin.listen is not loopback, ${got}`);
  }
  if (!('path' in address) && (socket.mode !== '0600' || socket.group !== undefined))
    report(['admin', 'socket'], 'has a use only if admin.listen is a socket');
  if (socket.group !== undefined && socket.mode === '0600')
    report(['admin', 'socket', 'group'], 'needs mode: "0660"; with 0600 no group may use the socket');
  checkTokens(tokens, plans, (path, message) => report(['admin', 'tokens', ...path], message));
  return { listen: address, socket, ...(token !== undefined && { token }), tokens };
}

/** Names that callers without one of `admin.tokens` have in the log. */
const takenNames = ['admin', 'socket', 'loopback', 'anybody'];

function checkTokens(tokens: Settings['admin']['tokens'], plans: Settings['plans'], report: Report): void {
  tokens.forEach(({ name, scope, hash, labels, domains, plan, images }, index) => {
    const before = tokens.slice(0, index);
    const isBound = domains !== undefined || plan !== undefined || images.length > 0;
    if (takenNames.includes(name) || before.some((other) => other.name === name))
      report([index, 'name'], `${name} is taken; each token needs a name of its own`);
    if (before.some((other) => other.hash === hash)) report([index, 'hash'], 'is that of another token, too');
    const isCustomer = scope === 'write' && Object.keys(labels).length > 0;
    if (isCustomer && !domains)
      report([index, 'domains'], 'is required with labels and scope write, such as "*.r1.example.org"');
    if (isBound && !isCustomer)
      report([index], 'has domains, plan or images, which bind only a token with labels and scope write');
    if (plan !== undefined && !Object.hasOwn(plans, plan))
      report([index, 'plan'], `there is no plan ${JSON.stringify(plan)}`);
  });
}

function resolveAccessLog({ file, ...settings }: Main['accessLog']): Pick<Settings, 'accessLog'> {
  if (file === undefined) return {};
  return { accessLog: { ...settings, file: file === 'stdout' ? file : resolve(file) } };
}

function resolveCmdb({ cmdb: written, node }: Main, report: Report): Settings['cmdb'] {
  const cmdb = cmdbCodec.read(typeof written === 'string' ? { url: written } : written);
  const path = lmdbPath(cmdb.url);
  if (path !== undefined && cmdb.caFile !== undefined) report(['cmdb', 'caFile'], 'has no use with an lmdb store');
  if (path === undefined && node.advertise !== undefined && cmdb.signingKey === undefined) {
    report(['cmdb'], 'needs signingKey, the same on all machines that share the store (openssl rand -base64 32)');
  }
  return {
    url: path === undefined ? cmdb.url : `lmdb:${resolve(path)}`,
    name: cmdb.name,
    ...(cmdb.caFile !== undefined && { caFile: resolve(cmdb.caFile) }),
    ...(cmdb.signingKey !== undefined && { signingKey: cmdb.signingKey }),
  };
}

function resolveOci(oci: Main['runtimes']['oci'], stateDir: string): OciSettings {
  const { diskSizeBytes: diskBytes, imageSizeBytes: imageBytes, imagesSizeBytes: imagesBytes, ...written } = oci;
  return {
    ...written,
    diskBytes,
    imageBytes,
    imagesBytes,
    stateDir: resolve(written.stateDir ?? join(stateDir, 'oci')),
  };
}

function resolveDocker(written: Main['runtimes']['docker'], report: Report): DockerSettings {
  const path = ['runtimes', 'docker'];
  const { host: address, socketPath, caFile, certFile, keyFile, diskSizeBytes: diskBytes, ...others } = written;
  const common = { ...others, diskBytes };
  const files = [caFile, certFile, keyFile].some((file) => file !== undefined);
  if ((certFile === undefined) !== (keyFile === undefined)) {
    report([...path, certFile === undefined ? 'keyFile' : 'certFile'], 'certFile and keyFile are needed together');
  }
  if (address === undefined) {
    if (files) report(path, 'caFile, certFile and keyFile have a use only with host');
    return { ...common, socketPath: resolve(socketPath ?? '/var/run/docker.sock') };
  }
  if (socketPath !== undefined) report([...path, 'socketPath'], 'socketPath and host exclude each other');
  if (!files && !address.secure && address.host !== 'localhost' && !isLoopbackIp(address.host)) {
    const message =
      'an engine off loopback needs TLS: anyone who reaches it is root there; set caFile, certFile and keyFile';
    report([...path, 'host'], message);
  }
  const tls = {
    ...(caFile !== undefined && { ca: resolve(caFile) }),
    ...(certFile !== undefined && { cert: resolve(certFile) }),
    ...(keyFile !== undefined && { key: resolve(keyFile) }),
  };
  return { ...common, host: address.host, port: address.port, ...((files || address.secure) && { tls }) };
}

function resolveLevel(written: LogLevel, env: Environment, report: Report): LogLevel {
  const level = env['LOG_LEVEL'];
  if (level === undefined || level === '') return written;
  const known = mainSchema.properties.log.properties.level as unknown as { enum: readonly LogLevel[]; expects: string };
  const found = known.enum.find((name) => name === level);
  if (!found)
    report(['log', 'level'], `environment variable LOG_LEVEL must be ${known.expects}, got ${JSON.stringify(level)}`);
  return found ?? written;
}
