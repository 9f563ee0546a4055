import { lookup } from 'node:dns/promises';
import type { Address } from '../../model/instance.js';
import { isImageName } from '../../model/image-name.js';
import type { BootOptions, InstanceSpec } from '../runtime.js';
import { type BootContext, type Job, attemptBoot, isAddressTaken } from './boot-attempt.js';
import { EngineError } from './engine-error.js';
import { ensureImage } from './image.js';
import { mountsFault } from '../mounts/mount-policy.js';
import { oneLine } from '../output/printable.js';

const defaultPort = 8080;
const attempts = 20;

/** See Runtime.boot. */
export async function boot(context: BootContext, spec: InstanceSpec, options: BootOptions): Promise<Address> {
  const { engine, pulls, clock, logger } = context;
  const { app } = spec;
  if (app.image === undefined) throw new Error(`app ${app.name} has no image: add \`image: NAME:TAG\` to its file`);
  if (!isImageName(app.image)) {
    throw new Error(
      `app ${app.name}: ${oneLine(app.image)} is not the name of an image; correct \`image\` in its file`,
    );
  }
  const fault = mountsFault(app.mounts, context.mounts);
  if (fault !== undefined) throw new Error(`app ${app.name}: ${fault}`);
  options.signal.throwIfAborted();
  const { signal } = options;
  const image = await ensureImage(engine, { image: app.image, app: app.name, signal, pulls, logger, clock });
  if (image.pulledMs !== undefined) options.onPhase('pull', image.pulledMs);
  const job: Job = {
    spec,
    options,
    port: app.port ?? image.port ?? defaultPort,
    publishOn: await publishAddress(context, app.publish),
    durations: { create: 0, start: 0 },
  };
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await attemptBoot(context, job);
    } catch (error) {
      options.signal.throwIfAborted();
      if (attempt === attempts || !(await mended(context, error))) throw error;
    }
  }
}

/** Whether another attempt makes sense, because the cause of the error is gone. */
async function mended({ network }: BootContext, error: unknown): Promise<boolean> {
  if (!(error instanceof EngineError)) return false;
  const joined = network.known();
  // Another dispatcher or program took this address, or all of them.
  if (isAddressTaken(error) || /no available addresses/i.test(error.reason)) {
    joined?.pool?.refresh(await network.inUse());
    return joined?.pool !== undefined;
  }
  // Or the published port.
  if (/address already in use|port is already allocated/i.test(error.reason)) return true;
  if (/only when connecting to networks with user configured subnets/i.test(error.reason)) {
    network.leaveChoiceToEngine();
    return true;
  }
  if (error.status === 404 && joined && error.reason.includes(`network ${joined.name} not found`)) {
    network.forget();
    return true;
  }
  return false;
}

/** The IP address of the engine's host to publish ports on, by a look-up if it is a name; undefined if none is published. */
async function publishAddress({ place, publishAll }: BootContext, publish: boolean): Promise<string | undefined> {
  if (!publish && !publishAll) return undefined;
  try {
    return (await lookup(place.publishedHost)).address;
  } catch (error) {
    throw new Error(`node.advertise: ${place.publishedHost} cannot be looked up; give an IP address of this machine`, {
      cause: error,
    });
  }
}
