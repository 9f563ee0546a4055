import { hkdfSync } from 'node:crypto';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Cmdb, UnreadableReport } from '../cmdb/cmdb.js';
import { openLmdbCmdb } from '../cmdb/lmdb.js';
import { RecordSigner } from '../cmdb/record-signer.js';
import { openRedisCmdb } from '../cmdb/redis.js';
import { lmdbPath } from '../config/cmdb-url.js';
import type { Config } from '../config/config.js';
import { glob } from '../config/glob.js';
import type { App, RuntimeName } from '../model/app.js';
import type { Clock } from '../model/clock.js';
import { dayMs } from '../model/usage.js';
import { makePrivateDirectory } from '../machine/private-directory.js';
import { openDockerRuntime } from '../runtime/docker.js';
import { openOciRuntime } from '../runtime/oci.js';
import { openProcessRuntime } from '../runtime/process.js';
import type { Runtime } from '../runtime/runtime.js';
import { localSigningKey } from '../machine/signing-key.js';

/** Throws an Error that says what to do if the store, or the key that its records are signed with, cannot be used. */
export function openCmdb({ cmdb, stateDir, usage }: Config, logger: Logger, onUnreadable: UnreadableReport): Cmdb {
  const path = lmdbPath(cmdb.url);
  const signer = signerOf({ cmdb, stateDir });
  const common = { signer, onUnreadable, usageDays: Math.ceil(usage.keepMs / dayMs) };
  return path === undefined ? openRedisCmdb({ ...cmdb, ...common, logger }) : openLmdbCmdb({ ...common, path });
}

/** Its key is what makes machines and processes one installation, whatever becomes of their store. */
function signerOf({ cmdb, stateDir }: Pick<Config, 'cmdb' | 'stateDir'>): RecordSigner {
  return new RecordSigner(cmdb.signingKey ?? localSigningKey(stateDir), cmdb.name);
}

/** The same for all nodes of an installation, and no use for anything else. */
export function affinityKeyOf({ cmdb, stateDir }: Pick<Config, 'cmdb' | 'stateDir'>): Buffer {
  const key = cmdb.signingKey ?? localSigningKey(stateDir);
  return Buffer.from(hkdfSync('sha256', key, '', `fastcontainer\0affinity\0${cmdb.name}`, 32));
}

/** Which directories of the host apps may mount. */
export function mountOptions({
  mounts,
  stateDir,
  runtimes,
  cmdb,
  file,
  appFiles,
  customerApps,
  tls,
}: Omit<Config, 'apps'>) {
  const store = lmdbPath(cmdb.url);
  const { socketPath } = runtimes.docker;
  // A customer's file is as much the customer's as what lies beside it.
  const customers = new Set(customerApps);
  const ofOperator = Object.entries(appFiles).flatMap(([app, path]) => (customers.has(app) ? [] : [path]));
  const files = [file, ...new Set(ofOperator)];
  const { stateDir: processDir, scratchDir } = runtimes.process;
  const certificates = [...glob(tls.certificates, '/').roots, tls.default];
  const own = [
    stateDir,
    processDir,
    scratchDir,
    runtimes.oci.stateDir,
    store,
    socketPath,
    ...certificates,
    ...files,
  ].filter((path) => path !== undefined);
  return { roots: mounts.roots, own };
}

/** Why a machine of several cannot have apps of the oci runtime. */
export const ociOffMachine =
  'apps of runtime oci are reached only from their own machine: remove node.advertise, or use docker or process for them';

/** Throws an Error that says what to do if the runtime cannot be used on this machine. */
export async function openRuntime(
  name: RuntimeName,
  config: Omit<Config, 'apps'> & { readonly apps: readonly Pick<App, 'runtime'>[] },
  logger: Logger,
  clock: Clock,
): Promise<Runtime> {
  const { cmdb, node, runtimes } = config;
  const { advertise } = node;
  const common = {
    cmdbName: cmdb.name,
    installation: signerOf(config).keyId,
    logger,
    clock,
    ...(advertise === undefined ? {} : { advertiseHost: advertise }),
  };
  if (name === 'docker') return openDockerRuntime({ ...common, ...runtimes.docker, mounts: mountOptions(config) });
  makePrivateDirectory(runtimes.process.stateDir);
  if (name === 'oci') {
    if (advertise !== undefined) throw new Error(ociOffMachine);
    makePrivateDirectory(runtimes.oci.stateDir);
    const accounts = { users: runtimes.process.users, usersDir: join(runtimes.process.stateDir, 'users') };
    return openOciRuntime({ ...common, ...runtimes.oci, ...accounts, mounts: mountOptions(config), prepare: true });
  }
  const bind = advertise === undefined ? {} : { bindHost: advertise };
  const prepare = config.apps.some(({ runtime }) => runtime === 'process');
  return openProcessRuntime({ ...common, ...bind, ...runtimes.process, prepare });
}
