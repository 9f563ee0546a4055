import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import { type Clock, sleep } from '../../model/clock.js';
import { EngineError, isMissing } from './engine-error.js';
import type { Engine } from './engine.js';
import { labels } from './labels.js';
import { bridgeOption, iccOption, inspectNetwork } from './network-settings.js';
import { listAt, textAt } from './reply.js';

const attempts = 10;
const retryMs = 100;

export interface NetworkOptions {
  readonly name: string;
  /** Subnet of a network that is created; by default one that the engine finds free. */
  readonly subnet?: string;
  readonly cmdbName: string;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** The engine's description of the network, which is created if it is missing. Several dispatchers may call it at once. */
export async function findOrCreate(engine: Engine, options: NetworkOptions): Promise<unknown> {
  for (let attempt = 1; attempt <= attempts; attempt += 1) {
    const existing = await inspectNetwork(engine, options.name);
    if (existing !== undefined) return existing;
    try {
      const subnet = options.subnet ?? (await freeSubnet(engine, options, attempt));
      if (subnet !== undefined) {
        await create(engine, options, options.name, subnet);
        continue;
      }
    } catch (error) {
      if (attempt === attempts || !isRace(error, options)) throw error;
    }
    await sleep(options.clock, retryMs * (0.5 + Math.random()));
  }
  throw new Error(`network ${options.name} cannot be made on Docker Engine at ${engine.where}`);
}

/** Whether another dispatcher was faster, and made the network or one with the same subnet. */
function isRace(error: unknown, options: NetworkOptions): boolean {
  if (!(error instanceof EngineError)) return false;
  if (error.status === 409 || /same bridge name/i.test(error.reason)) return true;
  return options.subnet === undefined && /overlap/i.test(error.reason);
}

/**
 * A subnet that is free on the engine's host. Addresses can be chosen only in a configured subnet, but only the engine knows which
 * are free; so this creates a network without one, inspects it, and removes it.
 */
async function freeSubnet(engine: Engine, options: NetworkOptions, attempt: number): Promise<string | undefined> {
  const name = `${options.name}.probe`;
  try {
    await create(engine, options, name, undefined);
  } catch (error) {
    // Another dispatcher is at it and will be done in a moment; a probe that stays was left by a killed one.
    if (!isRace(error, options) || attempt < attempts / 2) throw error;
  }
  const probe = await inspectNetwork(engine, name);
  await engine
    .bytes(`remove network ${name}`, { method: 'DELETE', path: ['networks', name] })
    .catch((error: unknown) => {
      if (!isMissing(error)) throw error;
    });
  return listAt(probe, 'IPAM', 'Config')
    .map((config) => textAt(config, 'Subnet'))
    .find((subnet) => subnet?.includes('.'));
}

async function create(
  engine: Engine,
  options: NetworkOptions,
  name: string,
  subnet: string | undefined,
): Promise<void> {
  const body = {
    Name: name,
    Driver: 'bridge',
    // The check is best effort, so that two networks may get the same name, but never the same bridge.
    CheckDuplicate: true,
    Options: { [iccOption]: 'false', [bridgeOption]: bridgeName(name) },
    Labels: { [labels.cmdb]: options.cmdbName },
    ...(subnet === undefined ? {} : { IPAM: { Driver: 'default', Config: [{ Subnet: subnet }] } }),
  };
  const doing = `create network ${name}${subnet === undefined ? '' : ` with subnet ${subnet}`}`;
  await engine.json(doing, { method: 'POST', path: ['networks', 'create'], body }, { limitMs: 30_000 });
  if (name === options.name) options.logger.info({ network: name, subnet }, 'created the network of the containers');
}

/** Name of the interface on the engine's host, at most 15 characters, derived from the network's so that it is never made twice. */
export function bridgeName(network: string): string {
  return `fc-${createHash('sha256').update(network).digest('hex').slice(0, 10)}`;
}
