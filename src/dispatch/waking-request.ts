import { isIPv4 } from 'node:net';
import type { ClientRequest } from '../forward/client-message.js';
import type { Admitted } from '../forward/request-headers.js';
import { domainOf } from '../model/host-name.js';
import type { WakingRequest } from '../model/ledger/facts.js';
import { agentClassOf } from '../wake/agent-class.js';

/** What the ledger may know of a request: not its query, not its headers, and only the network of its client. */
export function wakingRequest(
  req: ClientRequest,
  { host, target }: Admitted,
  client: string | undefined,
): WakingRequest {
  const network = client === undefined ? undefined : networkOf(client);
  return {
    host: domainOf(host) ?? '',
    method: req.method ?? '',
    path: target.split('?', 1)[0] ?? '',
    agent: agentClassOf(req.headers['user-agent']),
    ...(network !== undefined && { client: network }),
  };
}

/** The /24 of an IPv4 address, or the /48 of an IPv6 /64; undefined if it is neither. */
export function networkOf(client: string): string | undefined {
  if (isIPv4(client)) return `${client.slice(0, client.lastIndexOf('.'))}.0/24`;
  const [, groups] = /^((?:[\da-f]{1,4}:){3})[\da-f]{1,4}::\/64$/i.exec(client) ?? [];
  return groups === undefined ? undefined : `${groups}:/48`;
}
