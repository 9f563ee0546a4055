/** The phases of a cold request in milliseconds: look-up, waiting outside the boot, and those of the boot. */
export function coldPhases(
  lookupMs: number,
  waitedMs: number,
  boot: Readonly<Record<string, number>>,
): Record<string, number> {
  const booting = Object.values(boot).reduce((sum, ms) => sum + ms, 0);
  return { lookup: lookupMs, queue: Math.max(0, waitedMs - booting), ...boot };
}

/** The Server-Timing value of a cold response. The forwarder adds the first byte. Source: W3C Server Timing. */
export function timingOf(phases: Readonly<Record<string, number>>): string {
  return Object.entries(phases)
    .map(([name, ms]) => `${name};dur=${ms.toFixed(1)}`)
    .join(', ');
}
