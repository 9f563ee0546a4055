import { readFile } from 'node:fs/promises';
import type { Config } from '../../config/config.js';
import type { Findings } from './host-check.js';

/** Whether the port range of processes is large enough and free of other uses. */
export async function checkPorts(config: Config): Promise<Findings> {
  const apps = config.apps.filter(({ runtime }) => runtime === 'process');
  if (apps.length === 0) return { problems: [], warnings: [] };
  const { from, to } = config.runtimes.process.ports;
  const key = `runtimes.process.ports: ${from}-${to}`;
  const inRange = (port: number) => port >= from && port <= to;
  const listening = [...config.listen.http, config.admin.listen].flatMap((it) => ('port' in it ? [it.port] : []));
  const wanted = apps.reduce((sum, app) => sum + app.scale.max, 0);
  const [low, high] = await outgoingPorts();
  return {
    problems: listening
      .filter(inRange)
      .map((port) => `${key} includes port ${port}, on which the daemon listens; move one of them`),
    warnings: [
      ...(wanted > to - from + 1
        ? [`${key} has fewer ports than the ${wanted} instances that scale.max allows in all`]
        : []),
      ...(low <= to && high >= from
        ? [
            `${key} overlaps the ports of outgoing connections, ${low}-${high} (net.ipv4.ip_local_port_range); ` +
              'single ports may be taken',
          ]
        : []),
      ...(from < 1024 ? [`${key} includes ports below 1024, which apps that are not root cannot listen on`] : []),
    ],
  };
}

/** Of Linux; elsewhere an empty range. */
async function outgoingPorts(): Promise<[number, number]> {
  const text = await readFile('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').catch(() => '');
  const [low = Infinity, high = -Infinity] = text.trim() === '' ? [] : text.trim().split(/\s+/).map(Number);
  return [low, high];
}
