import type { Config } from '../../config/config.js';
import { trustWarning } from '../../config/trust.js';
import type { Findings } from './host-check.js';

/** Whether apps share a host that may not trust each other. */
export function checkTrust({ apps }: Config): Findings {
  const warning = trustWarning(apps);
  return { problems: [], warnings: warning === undefined ? [] : [warning] };
}
