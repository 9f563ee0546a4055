/** What the logs of both daemons say that the soak has to know. */
export class LogWatch {
  boots = 0;
  readonly ready = new Set<string>();
  /** Workers of which a supervisor said that they ended, and why. */
  readonly ended: { readonly pid: number; readonly why: string }[] = [];
  readonly fatal: string[] = [];
  /** What cannot be true here. */
  readonly untrue: string[] = [];

  readonly onLine = (line: Record<string, unknown>): void => {
    const { msg, level, instance } = line;
    if (msg === 'booting') this.boots += 1;
    else if (msg === 'ready') this.ready.add(String(instance));
    else if (msg === 'a worker ended; replacing it') {
      this.ended.push({ pid: Number(line['pid']), why: `${String(line['reason'])}, ${String(line['cause'])}` });
    } else if (/removed elsewhere/.test(String(msg))) this.untrue.push(String(msg));
    else if (level === 60) this.fatal.push(`${String(msg)}: ${JSON.stringify(line['err'])}`);
  };
}
