/** Sends a signal to a process, or to a group by its negative number; false if it cannot be sent, mostly as there is no such process. */
export function signalTo(pid: number, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}
