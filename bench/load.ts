import { execFile } from 'node:child_process';
import { createRequire } from 'node:module';
import { promisify } from 'node:util';
import type { Cores } from './cores.js';
import { type LoadResult, readAutocannon, readWrk } from './load-result.js';
import { findProgram } from './programs-on-path.js';

export interface Load {
  readonly url: string;
  /** Host header. */
  readonly host: string;
  readonly connections: number;
  readonly seconds: number;
}

export interface LoadGenerator {
  readonly name: 'wrk' | 'autocannon';
  /** Loads one address from a process of its own, on the core of the others. */
  run(load: Load): Promise<LoadResult>;
}

const run = promisify(execFile);

/** wrk where it is installed: it takes so little of its core that the relay is what is measured. Else autocannon. */
export function findLoadGenerator({ others }: Cores): LoadGenerator {
  const wrk = findProgram('wrk');
  const output = async (command: readonly string[]) => {
    const [program = '', ...args] = [...others, ...command];
    return (await run(program, args, { maxBuffer: 16 * 1024 * 1024 })).stdout;
  };
  if (wrk !== undefined) {
    return {
      name: 'wrk',
      async run({ url, host, connections, seconds }) {
        const options = [
          '-t1',
          `-c${connections}`,
          `-d${seconds}s`,
          '--timeout',
          '10s',
          '--latency',
          '-H',
          `Host: ${host}`,
        ];
        return readWrk(await output([wrk, ...options, url]));
      },
    };
  }
  const autocannon = createRequire(import.meta.url).resolve('autocannon');
  return {
    name: 'autocannon',
    async run({ url, host, connections, seconds }) {
      const options = [
        '-c',
        String(connections),
        '-d',
        String(seconds),
        '-H',
        `host=${host}`,
        '--json',
        '--no-progress',
      ];
      return readAutocannon(await output([process.execPath, autocannon, ...options, url]));
    },
  };
}
