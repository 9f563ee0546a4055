import { randomBytes } from 'node:crypto';
import { mountOptions } from '../../daemon/adapters.js';
import type { ExtraChecks, HostCheck } from './host-check.js';
import { RecordSigner } from '../../cmdb/record-signer.js';
import { redisDurabilityWarnings } from '../../cmdb/redis/durability.js';
import { redisKeyProblem } from '../../cmdb/redis/signing-key.js';
import { lmdbPath } from '../../config/cmdb-url.js';
import type { Config } from '../../config/config.js';
import { dockerWarnings, mountFindings } from '../../runtime/docker.js';
import { lookAtProcessHost, processFindings } from '../../runtime/process.js';
import { readSigningKey } from '../../machine/signing-key.js';
import { systemClock } from '../../machine/system-clock.js';

/** The looks at the host that need an adapter: the engine where an app runs on it, the store where it is a server. */
export const adapterChecks: ExtraChecks = (config) => [
  ...processCheck(config),
  ...dockerCheck(config),
  ...redisCheck(config),
];

function processCheck({ apps, runtimes }: Config): HostCheck[] {
  const { users, inheritGroups } = runtimes.process;
  const mine = apps.filter(({ runtime }) => runtime === 'process');
  if (mine.length === 0) return [];
  const run = async () =>
    processFindings({ apps: mine, users, inheritGroups }, await lookAtProcessHost(runtimes.process));
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

function redisCheck({ cmdb, stateDir }: Config): HostCheck[] {
  if (lmdbPath(cmdb.url) !== undefined) return [];
  const run = async () => {
    // A machine without a key makes one of its own.
    const key = cmdb.signingKey ?? readSigningKey(stateDir) ?? randomBytes(32).toString('hex');
    const problem = await redisKeyProblem(cmdb, new RecordSigner(key, cmdb.name).keyId);
    return { problems: problem === undefined ? [] : [problem], warnings: await redisDurabilityWarnings(cmdb) };
  };
  return [{ name: 'Redis', run }];
}
