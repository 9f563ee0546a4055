import type { Settings } from '../config/config.js';
import { formatListenAddress } from '../config/listen-address.js';

/** Why the daemon did not start and what to do about it. */
export function explainStartError(error: unknown, { listen, admin }: Pick<Settings, 'listen' | 'admin'>): string {
  const { code, message, port, address } = error as NodeJS.ErrnoException & { port?: number; address?: string };
  const isAdmin = 'path' in admin.listen ? admin.listen.path === address : admin.listen.port === port;
  const side = (['http', 'https'] as const).find((it) => listen[it].some((place) => place.port === port));
  const key = isAdmin && !side ? 'admin.listen' : `listen.${side ?? 'http'}`;
  const where =
    port === undefined || port < 0 ? (address ?? 'the address') : formatListenAddress({ host: address ?? '', port });
  switch (code) {
    case 'EADDRINUSE':
      return `cannot listen on ${where}: it is in use; stop what listens there${finder(port)} or change ${key}`;
    case 'EACCES':
      return `cannot listen on ${where}: not permitted; ${permission(port)} or change ${key}`;
    case 'EADDRNOTAVAIL':
      return `cannot listen on ${where}: this machine has no such address; see \`ip address\` and change ${key}`;
    default:
      return `cannot start: ${message}`;
  }
}

function finder(port: number | undefined): string {
  return port === undefined || port < 0 ? '' : ` (find it with: ss -ltnp 'sport = :${port}')`;
}

function permission(port: number | undefined): string {
  if (port === undefined || port < 0 || port > 1023) return 'make the place writable for this user';
  return 'grant the capability CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE)';
}
