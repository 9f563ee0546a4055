import type { App } from '../model/app.js';

/** A warning if processes of several users share this host; undefined if not. */
export function trustWarning(apps: readonly Pick<App, 'name' | 'runtime' | 'user'>[]): string | undefined {
  const processes = apps.filter(({ runtime }) => runtime === 'process');
  // Each app with `auto` has a user of its own.
  const users = new Set(processes.map(({ name, user = '' }) => (user === 'auto' ? `${user} ${name}` : user)));
  if (users.size < 2) return undefined;
  return (
    `runtime process: ${processes.length} apps of ${users.size} users share this host: each reaches the ports of the others past the ` +
    'daemon, and can take the ports of the range; that is for code that trusts each other, the boundary between customers is ' +
    'a container (runtime: docker); see docs/security.md'
  );
}
