export type DockerHostReading =
  | { readonly host: string; readonly port: number; readonly secure: boolean; readonly fault?: undefined }
  | { readonly fault: string };

/**
 * Address of a Docker engine on the network: `tcp://HOST:PORT` or `https://HOST:PORT`; `secure` where the scheme
 * demands TLS.
 */
export function readDockerHost(text: string): DockerHostReading {
  const match = /^(tcp|https?):\/\/(\[[0-9a-f:.]+\]|[a-z0-9._-]+):(\d{1,5})\/?$/i.exec(text);
  const port = Number(match?.[3]);
  if (!match || port < 1 || port > 65_535) return { fault: 'must be an address such as tcp://10.0.0.5:2376' };
  return { host: match[2]!.replace(/^\[(.*)\]$/, '$1'), port, secure: match[1]!.toLowerCase() === 'https' };
}
