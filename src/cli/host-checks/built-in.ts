import type { Config } from '../../config/config.js';
import type { Environment } from '../../config/interpolate.js';
import { trustWarning } from '../../config/trust.js';
import type { HostCheck } from './host-check.js';
import { checkApps } from './apps.js';
import { checkCertificates } from './certificates.js';
import { checkFiles } from './files.js';
import { checkLimits } from './limits.js';
import { checkListen } from './listen.js';
import { checkOwners } from './owners.js';
import { checkPorts } from './ports.js';
import { checkStore } from './store.js';
import { checkWorkers } from './workers.js';

/** Checks that need nothing but the operating system. */
export function builtInChecks(config: Config, env: Environment): HostCheck[] {
  return [
    { name: 'listen', run: () => checkListen(config) },
    { name: 'files', run: () => checkFiles(config) },
    { name: 'certificates', run: () => checkCertificates(config) },
    { name: 'store', run: async () => checkStore(config) },
    { name: 'owners', run: async () => checkOwners(config) },
    { name: 'ports', run: () => checkPorts(config) },
    { name: 'workers', run: async () => checkWorkers(config) },
    { name: 'limits', run: async () => checkLimits(config) },
    { name: 'trust', run: async () => ({ problems: [], warnings: [trustWarning(config.apps) ?? []].flat() }) },
    { name: 'apps', run: () => checkApps(config.apps, env) },
  ];
}
