import type { App } from '../model/app.js';

/** What is to be said of apps that share more than they may if they do not trust each other; undefined if they do not. */
export function trustWarning(apps: readonly Pick<App, 'name' | 'runtime' | 'user'>[]): string | undefined {
  const processes = apps.filter(({ runtime }) => runtime === 'process');
  // Those with a user of their own are as many.
  const users = new Set(processes.map(({ name, user = '' }) => (user === 'auto' ? `${user} ${name}` : user)));
  if (users.size < 2) return undefined;
  return (
    `runtime process: ${processes.length} apps of ${users.size} users share this host: each reaches the ports of the others past the ` +
    'daemon, and can take the ports of the range; that is for code that trusts each other, the boundary between customers is ' +
    'a container (runtime: docker); see docs/security.md'
  );
}
