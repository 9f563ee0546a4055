import { resolve } from 'node:path';
import { assemble } from './assemble.js';
import type { Config } from './config.js';
import type { Environment } from './interpolate.js';
import { ConfigError } from './problem.js';
import { ConfigReader } from './reader/config-reader.js';

/** Reads the files once, and throws a ConfigError that names every problem. Blocks meanwhile; a daemon uses a ConfigThread. */
export async function loadConfig(file: string, env: Environment): Promise<Config> {
  const reading = new ConfigReader({ file, env }).read();
  if (reading.problems.length > 0) throw new ConfigError(reading.problems);
  return assemble(reading, resolve(file));
}
