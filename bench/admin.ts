import { adminToken, type BenchDaemon } from './daemon.js';

export interface InstanceView {
  readonly id: string;
  readonly state: string;
  readonly address: string;
  readonly inflight: number;
  readonly revision: string;
  /** Times as ISO 8601; null: not yet. */
  readonly bootedAt: string;
  readonly readyAt: string | null;
  /** Milliseconds per phase. */
  readonly boot: Readonly<Record<string, number>>;
}

/** What the admin side says of the instances of an app. */
export async function instancesOf(daemon: BenchDaemon, app: string): Promise<InstanceView[]> {
  return JSON.parse(await text(`${daemon.admin}/v1/instances?app=${app}`)) as InstanceView[];
}

/** The sum of a metric over all of its label values that have these among them. */
export async function metric(
  daemon: BenchDaemon,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): Promise<number> {
  return sumOf(await text(`${daemon.admin}/metrics`), name, labels);
}

/** The same of the text of a scrape. Source: Prometheus' text format. */
export function sumOf(scrape: string, name: string, labels: Readonly<Record<string, string>>): number {
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  return scrape
    .split('\n')
    .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
    .filter((line) => wanted.every((pair) => line.includes(pair)))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

async function text(url: string): Promise<string> {
  const response = await fetch(url, { headers: { connection: 'close', authorization: `Bearer ${adminToken}` } });
  const body = await response.text();
  if (!response.ok) throw new Error(`${url}: ${response.status} ${body}`);
  return body;
}
