import { mkdtempSync, rmSync } from 'node:fs';
import { cpus, totalmem, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArguments, UsageError, type BenchArguments } from './arguments.js';
import type { startDaemon } from './daemon.js';
import { killLeftovers } from './leftovers.js';
import type { Part, PartResult } from './part.js';
import { parts } from './parts/all.js';
import { Processes } from './processes.js';
import { markdown, plainText } from './table.js';
import { verdictTable } from './verdict.js';

// `npm run bench -- [PART…] [--smoke] [--gate] [--markdown] [--rounds N] [--seconds N] [--against DIR]`

const usage = `usage: npm run bench -- [PART…] [--smoke] [--gate] [--markdown] [--rounds N] [--seconds N] [--against DIR]
  --gate: exit code 1 if a budget of counts or bytes is not held, which no machine excuses
  DIR: another checkout of this project, built; warm and cold measure it in the same rounds
${parts.map(({ name, about }) => `  ${name.padEnd(10)} ${about}`).join('\n')}`;

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  let asked: BenchArguments;
  try {
    asked = parseArguments(
      args,
      parts.map(({ name }) => name),
    );
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n${usage}`);
    return 2;
  }
  const print = asked.markdown ? markdown : plainText;
  console.log(`${machine()}\n`);
  const results: PartResult[] = [];
  for (const part of parts.filter(({ name }) => asked.parts.includes(name))) {
    const result = await runPart(part, asked);
    for (const table of result.tables) console.log(`${print(table)}\n`);
    results.push(result);
  }
  const verdicts = results.flatMap((result) => result.verdicts);
  if (verdicts.length > 0) console.log(`${print(verdictTable(verdicts))}\n`);
  for (const line of results.flatMap(({ missing = [] }) => missing)) console.error(`left out: ${line}`);
  const gated = asked.gate ? verdicts.filter(({ held, isStable }) => isStable && held === false) : [];
  const broken = [
    ...results.flatMap((result) => result.broken ?? []),
    ...gated.map(({ what, budget, measured }) => `${what}: ${measured}, not ${budget}`),
  ];
  for (const line of broken) console.error(`BROKEN: ${line}`);
  return broken.length > 0 ? 1 : 0;
}

/** How that checkout's own bench starts its dispatcher: it knows what its configuration needs. */
async function daemonOf(dir: string): Promise<typeof startDaemon> {
  const module = pathToFileURL(resolve(dir, 'dist/bench/daemon.js')).href;
  return ((await import(module)) as { startDaemon: typeof startDaemon }).startDaemon;
}

async function runPart({ name, run }: Part, asked: BenchArguments): Promise<PartResult> {
  const say = (line: string) => console.error(`${name}: ${line}`);
  const dir = mkdtempSync(join(tmpdir(), `fastcontainer-bench-${name}-`));
  const processes = new Processes();
  // Whoever interrupts the bench leaves nothing behind either.
  const interrupted = () =>
    void processes
      .stopAll()
      .then(killLeftovers)
      .then(() => process.exit(130));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupted);
  try {
    const against = asked.against === undefined ? undefined : await daemonOf(asked.against);
    const result = await run({ ...asked, against, dir, processes, say });
    if (result.broken?.length) for (const line of processes.complaints()) say(line);
    return result;
  } catch (error) {
    for (const line of processes.complaints()) say(line);
    return { tables: [], verdicts: [], broken: [`${name}: ${error instanceof Error ? error.message : String(error)}`] };
  } finally {
    await processes.stopAll();
    const killed = await killLeftovers();
    if (killed > 0) say(`${killed} apps had to be killed: the dispatcher did not end them in time`);
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, interrupted);
    rmSync(dir, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** What the figures were seen on. */
function machine(): string {
  const [core] = cpus();
  const memory = (totalmem() / 1024 ** 3).toFixed(0);
  return `Node ${process.version}, ${cpus().length} × ${core?.model ?? 'unknown processor'}, ${memory} GiB, ${process.platform}`;
}
