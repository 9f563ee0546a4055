import { createServer } from 'node:net';

/**
 * Whether no program of this machine holds the port, on `host` or any other address, as an app may listen on all of them. Throws an
 * Error that says what to do if nothing can listen on `host` at all.
 */
export async function isPortFree(port: number, host: string): Promise<boolean> {
  const code = await listenError(port, host);
  if (code === 'EADDRINUSE') return false;
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    throw new Error(`apps cannot listen on ${host}: it is not an address of this machine; correct node.advertise`);
  }
  if (code === 'EACCES') throw new Error(`port ${port} may not be used; choose runtimes.process.ports above 1023`);
  if (code !== undefined) throw new Error(`cannot listen on ${host}, port ${port}: ${code}`);
  const everywhere = await listenError(port, '::');
  if (everywhere === undefined) return true;
  return everywhere !== 'EADDRINUSE' && (await listenError(port, '0.0.0.0')) !== 'EADDRINUSE';
}

/** The error of listening there; undefined if it works. '::' stands for all addresses of both protocols. */
function listenError(port: number, host: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    probe.listen({ port, host, exclusive: true }, () => probe.close(() => resolve(undefined)));
  });
}
