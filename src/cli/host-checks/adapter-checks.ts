import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import { mountOptions, ociOffMachine } from '../../daemon/adapters.js';
import type { ExtraChecks, HostCheck } from './host-check.js';
import { isForeign } from '../../cmdb/app-origin.js';
import type { Cmdb } from '../../cmdb/cmdb.js';
import { openRedisCmdb } from '../../cmdb/redis.js';
import { RecordSigner } from '../../cmdb/record-signer.js';
import { redisDurabilityWarnings } from '../../cmdb/redis/durability.js';
import { redisKeyProblem } from '../../cmdb/redis/signing-key.js';
import { describeConflict } from '../../config/apply-apps.js';
import { showFile } from '../../config/path.js';
import { lmdbPath } from '../../config/cmdb-url.js';
import type { Config } from '../../config/config.js';
import { dockerWarnings } from '../../runtime/docker.js';
import { mountFindings } from '../../runtime/mounts/findings.js';
import { ociFindings } from '../../runtime/oci.js';
import { lookAtProcessHost, processFindings } from '../../runtime/process.js';
import { readSigningKey } from '../../machine/signing-key.js';
import { systemClock } from '../../machine/system-clock.js';

/** Checks that need an adapter: of the engine if an app runs on it, of the store if it is a server. */
export const adapterChecks: ExtraChecks = (config) => [
  ...processCheck(config),
  ...dockerCheck(config),
  ...ociCheck(config),
  ...redisCheck(config),
  ...customersCheck(config),
];

function processCheck({ apps, runtimes }: Config): HostCheck[] {
  const { users, inheritGroups, pidNamespace } = runtimes.process;
  const mine = apps.filter(({ runtime }) => runtime === 'process');
  if (mine.length === 0) return [];
  const run = async () =>
    processFindings({ apps: mine, users, inheritGroups, pidNamespace }, await lookAtProcessHost(runtimes.process));
  return [{ name: 'runtime process', run }];
}

function dockerCheck(config: Config): HostCheck[] {
  const { apps, runtimes } = config;
  if (!apps.some(({ runtime }) => runtime === 'docker')) return [];
  const run = async () => ({
    problems: [],
    warnings: await dockerWarnings({ ...runtimes.docker, clock: systemClock }),
  });
  const isRemote = runtimes.docker.host !== undefined;
  return [
    { name: 'Docker Engine', run },
    { name: 'mounts', run: () => mountFindings(apps, { ...mountOptions(config), isRemote }) },
  ];
}

function ociCheck(config: Config): HostCheck[] {
  const { apps, runtimes, node } = config;
  if (!apps.some(({ runtime }) => runtime === 'oci')) return [];
  const run = async () => {
    const { problems, warnings } = await ociFindings(
      runtimes.oci,
      apps.flatMap(({ runtime, image }) => (runtime === 'oci' ? [image] : [])),
    );
    return { problems: [...problems, ...(node.advertise === undefined ? [] : [ociOffMachine])], warnings };
  };
  const hasDocker = apps.some(({ runtime }) => runtime === 'docker');
  const isRemote = runtimes.docker.host !== undefined;
  return [
    { name: 'runtime oci', run },
    ...(hasDocker ? [] : [{ name: 'mounts', run: () => mountFindings(apps, { ...mountOptions(config), isRemote }) }]),
  ];
}

function redisCheck({ cmdb, stateDir }: Config): HostCheck[] {
  if (lmdbPath(cmdb.url) !== undefined) return [];
  const run = async () => {
    const problem = await redisKeyProblem(cmdb, signerOf({ cmdb, stateDir }).keyId);
    return { problems: problem === undefined ? [] : [problem], warnings: await redisDurabilityWarnings(cmdb) };
  };
  return [{ name: 'Redis', run }];
}

/** Finds names in customers' files here that belong to apps of other machines. */
function customersCheck(config: Config): HostCheck[] {
  const { cmdb, customerApps } = config;
  if (lmdbPath(cmdb.url) !== undefined || customerApps.length === 0) return [];
  const run = async () => {
    const options = { ...cmdb, signer: signerOf(config), logger: pino({ level: 'silent' }), onUnreadable: () => {} };
    const store = openRedisCmdb(options);
    try {
      return { problems: await takenNames(store, config), warnings: [] };
    } finally {
      await store.close();
    }
  };
  return [{ name: 'apps of customers', run }];
}

async function takenNames(store: Cmdb, { customerApps, apps, appFiles, node }: Config): Promise<string[]> {
  const wanted = new Map(apps.map((app) => [app.name, app]));
  const problems: string[] = [];
  for (const name of customerApps) {
    const customer = appFiles[name] ?? '';
    const record = await store.find({ app: name });
    if (!record || !isForeign(record, { host: node.host, since: 0, customer })) continue;
    const { host: heldBy, api } = record.origin ?? {};
    if (!api && JSON.stringify(record.app) === JSON.stringify(wanted.get(name))) continue;
    const conflict = { wantedBy: name, heldBy, ...(api && { putBy: api.by }) };
    problems.push(`${showFile(customer)}: ${describeConflict(conflict)}`);
  }
  return problems;
}

function signerOf({ cmdb, stateDir }: Pick<Config, 'cmdb' | 'stateDir'>): RecordSigner {
  // The daemon would make a key at its start.
  const key = cmdb.signingKey ?? readSigningKey(stateDir) ?? randomBytes(32).toString('hex');
  return new RecordSigner(key, cmdb.name);
}
