import { dirname } from 'node:path';
import { lmdbPath } from '../../config/cmdb-url.js';
import type { Config } from '../../config/config.js';
import { glob } from '../../config/glob.js';
import { WritableByOthers } from '../../machine/writable-by-others.js';
import type { Findings } from './host-check.js';

/** Warns of files and directories that decide what runs as which user and that others can write. */
export function checkOwners(config: Config): Findings {
  const { file, appFiles, customerApps, places, stateDir, runtimes, cmdb } = config;
  const customers = new Set(customerApps);
  const operators = Object.entries(appFiles).flatMap(([app, path]) => (customers.has(app) ? [] : [path]));
  const directories = places.patterns.flatMap((pattern) => glob([pattern], '/').roots);
  // checkStore looks at these directories themselves.
  const own = [stateDir, runtimes.process.stateDir, lmdbPath(cmdb.url)].flatMap((path) =>
    path ? [dirname(path)] : [],
  );
  const wanted = [file, ...operators, ...directories, ...own];
  const access = new WritableByOthers();
  const found = new Map<string, { fault: string; paths: string[] }>();
  for (const path of new Set(wanted)) {
    for (const place of access.on(path)) {
      const known = found.get(place.path);
      if (known) known.paths.push(path);
      else found.set(place.path, { fault: place.fault, paths: [path] });
    }
  }
  return { problems: [], warnings: [...found].map(([place, { fault, paths }]) => warningOf(place, fault, paths)) };
}

function warningOf(place: string, fault: string, [first = '', ...more]: readonly string[]): string {
  const rest = more.length === 0 ? '' : ` and ${more.length} more`;
  const lies = first === place && more.length === 0 ? '' : `, on the way to ${first}${rest}`;
  return `${place}${lies}: ${fault}; users who can write there decide what runs here, and as which user`;
}
