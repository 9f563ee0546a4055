/**
 * The Server-Timing value of a cold response, in milliseconds: look-up, waiting outside the boot, and the phases of the boot. The
 * forwarder adds the first byte. Source: W3C Server Timing.
 */
export function coldTiming(lookupMs: number, waitedMs: number, phases: Readonly<Record<string, number>>): string {
  const booting = Object.values(phases).reduce((sum, ms) => sum + ms, 0);
  const entries: [string, number][] = [
    ['lookup', lookupMs],
    ['queue', Math.max(0, waitedMs - booting)],
    ...Object.entries(phases),
  ];
  return entries.map(([name, ms]) => `${name};dur=${ms.toFixed(1)}`).join(', ');
}
