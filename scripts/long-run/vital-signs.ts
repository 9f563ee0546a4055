import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** Of the admin side of daemons that are tried out here. */
export const adminToken = 'token-of-the-run';
export const adminHeaders = { authorization: `Bearer ${adminToken}` };

/** What a daemon's process and its own counters say at one moment. */
export interface VitalSigns {
  readonly rssMiB: number;
  /** Open file descriptors, and those of them that are sockets. */
  readonly fds: number;
  readonly sockets: number;
  /** 99th percentile of the event loop's delay since the last sample, in milliseconds. */
  readonly loopMs: number;
  readonly boots: number;
  readonly failedBoots: number;
  readonly terminations: number;
  readonly queued: number;
}

/** Samples a process and its `/metrics`. Throws where either is not there: the daemon is gone, or does not answer. */
export async function vitalSigns(pid: number, admin: string): Promise<VitalSigns> {
  const response = await fetch(`${admin}/metrics`, { headers: adminHeaders, signal: AbortSignal.timeout(30_000) });
  const metrics = await response.text();
  const fds = readdirSync(`/proc/${pid}/fd`);
  const rssKiB = Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  return {
    rssMiB: rssKiB / 1024,
    fds: fds.length,
    sockets: fds.filter((fd) => isSocket(`/proc/${pid}/fd/${fd}`)).length,
    loopMs: sum(metrics, /^nodejs_eventloop_lag_p99_seconds\b/) * 1_000,
    boots: sum(metrics, /^fastcontainer_boots_total\{.*result="ready"/),
    failedBoots: sum(metrics, /^fastcontainer_boots_total\{.*result="(failed|timeout|aborted)"/),
    terminations: sum(metrics, /^fastcontainer_terminations_total\b/),
    queued: sum(metrics, /^fastcontainer_queue_length\b/),
  };
}

/** Processes, beside our own, on whose command line a run's name stands. */
export function processesOf(run: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => commandLine(pid).split('\0').includes(run))
    .map(Number);
}

export interface InstanceView {
  readonly id: string;
  readonly state: string;
  readonly inflight: number;
}

/** The instances that the daemon knows. */
export async function instancesOf(admin: string): Promise<InstanceView[]> {
  const response = await fetch(`${admin}/v1/instances`, { headers: adminHeaders });
  if (!response.ok) throw new Error(`/v1/instances answered ${response.status}`);
  return (await response.json()) as InstanceView[];
}

function sum(metrics: string, name: RegExp): number {
  return metrics
    .split('\n')
    .filter((line) => name.test(line))
    .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

function isSocket(link: string): boolean {
  try {
    return readlinkSync(link).startsWith('socket:');
  } catch {
    return false;
  }
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}
