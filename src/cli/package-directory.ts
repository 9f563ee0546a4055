import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Environment } from '../config/interpolate.js';

/** Where this package is installed. */
export const packageDirectory = fileURLToPath(new URL('../../../', import.meta.url)).replace(/\/$/, '');

/** The main file of the example in this package. */
export const exampleFile = join(packageDirectory, 'config', 'fastcontainer.yaml');

/** What configuration files can interpolate: the environment and `FASTCONTAINER_PACKAGE`. */
export function configEnvironment(environment: Environment): Environment {
  return { ...environment, FASTCONTAINER_PACKAGE: packageDirectory };
}
