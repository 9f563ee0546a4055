import type { AppSummary, Instance } from './api.js';

/** A length of time in its two largest units, such as `4m 05s`. */
export function duration(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1_000));
  const [d, h, m] = [Math.floor(s / 86_400), Math.floor(s / 3_600) % 24, Math.floor(s / 60) % 60];
  const two = (number: number) => String(number).padStart(2, '0');
  if (d > 0) return `${d}d ${two(h)}h`;
  if (h > 0) return `${h}h ${two(m)}m`;
  return m > 0 ? `${m}m ${two(s % 60)}s` : `${s}s`;
}

/** Such as `2 ready, 1 booting`. */
export function counted(instances: AppSummary['instances']): string {
  return Object.entries(instances)
    .map(([state, count]) => `${count} ${state}`)
    .join(', ');
}

/** What keeps an app awake that is ready and has no time to sleep at. */
export function keptBy({ instances, scale }: Pick<AppSummary, 'instances' | 'scale'>): string {
  return (instances['ready'] ?? 0) <= scale.min ? `kept by scale.min ${scale.min}` : 'in use';
}

/** What an instance does, for whom. */
export function useOf({ inflight, users }: Pick<Instance, 'inflight' | 'users'>): string {
  const loud = users.filter(({ quietSince }) => quietSince === undefined).length;
  const nodes = `${users.length} ${users.length === 1 ? 'node' : 'nodes'}`;
  const requests = inflight === 0 ? '' : `${inflight} under way here, `;
  if (users.length === 0) return inflight === 0 ? 'unused' : `${inflight} under way here`;
  return `${requests}used by ${nodes}${loud === 0 ? ', silent WebSockets only' : ''}`;
}
