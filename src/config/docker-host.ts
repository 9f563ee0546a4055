import type { Parsing } from '../model/schema/fields.js';

export interface DockerHost {
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
}

/**
 * Address of a Docker engine on the network: `tcp://HOST:PORT` or `https://HOST:PORT`; `secure` if the scheme
 * demands TLS.
 */
export function readDockerHost(text: string): Parsing<DockerHost> {
  const match = /^(tcp|https?):\/\/(\[[0-9a-f:.]+\]|[a-z0-9._-]+):(\d{1,5})\/?$/i.exec(text);
  const port = Number(match?.[3]);
  if (!match || port < 1 || port > 65_535) return { fault: 'must be an address such as tcp://10.0.0.5:2376' };
  const host = match[2]!.replace(/^\[(.*)\]$/, '$1');
  return { value: { host, port, secure: match[1]!.toLowerCase() === 'https' } };
}
