import type { DockerClient } from '../test/fixtures/docker-client.js';
import { answers, listens } from './by-hand.js';

/**
 * Creates and starts a container like the one with this name, connects until it listens, asks once, and removes it.
 * Milliseconds in all, without the look-up of its address, which the dispatcher chooses and so need not ask for.
 */
export async function containerByHand(
  docker: DockerClient,
  like: string,
  network: string,
  port: number,
): Promise<number> {
  const { Config, HostConfig } = await docker.getContainer(like).inspect();
  // Without labels: it is not the dispatcher's.
  const { Image, Cmd, Env, ExposedPorts, Healthcheck } = Config;
  const options = { Image, Cmd, Env, ExposedPorts, Healthcheck, HostConfig };
  const from = performance.now();
  const container = await docker.createContainer(options);
  try {
    await container.start();
    const startedAt = performance.now();
    const { NetworkSettings } = await container.inspect();
    const inspectMs = performance.now() - startedAt;
    const host = NetworkSettings.Networks[network]?.IPAddress ?? '';
    await listens(host, port);
    await answers(port, host);
    return performance.now() - from - inspectMs;
  } finally {
    await container.remove({ force: true });
  }
}
