import type { Config } from '../config/config.js';
import { loadConfig } from '../config/load-config.js';
import { ConfigError, formatProblem } from '../config/problem.js';
import { showFile } from '../config/path.js';
import { configEnvironment } from './package-directory.js';
import type { ExtraChecks, Findings, HostCheck } from './host-checks/host-check.js';

/** Validates files and host, prints what was found, and resolves to the exit code. */
export async function check(options: { readonly config: string }, extra: ExtraChecks = () => []): Promise<0 | 1> {
  let config: Config;
  try {
    config = await loadConfig(options.config, configEnvironment(process.env));
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return fail(error.problems.map(formatProblem));
  }
  const { problems, warnings: found } = await runCheck(config, extra(config));
  const warnings = [...config.notices, ...found];
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
  if (problems.length > 0) return fail(problems);
  const apps = count(config.apps.length, 'app');
  process.stdout.write(`ok: ${showFile(config.file)}, ${apps}, ${count(warnings.length, 'warning')}\n`);
  return 0;
}

/** Looks at the host with the built-in checks and the given ones, all at once. */
export async function runCheck(config: Config, extra: readonly HostCheck[]): Promise<Findings> {
  const { builtInChecks } = await import('./host-checks/built-in.js');
  const checks = [...builtInChecks(config, process.env), ...extra];
  const findings = await Promise.all(checks.map(runOne));
  return {
    problems: findings.flatMap(({ problems }) => problems),
    warnings: findings.flatMap(({ warnings }) => warnings),
  };
}

async function runOne(hostCheck: HostCheck): Promise<Findings> {
  try {
    return await hostCheck.run();
  } catch (error) {
    return { problems: [`${hostCheck.name}: ${(error as Error).message}`], warnings: [] };
  }
}

function fail(problems: readonly string[]): 1 {
  for (const problem of problems) process.stderr.write(`${problem}\n`);
  process.stderr.write(`${count(problems.length, 'problem')}\n`);
  return 1;
}

function count(amount: number, what: string): string {
  return `${amount} ${what}${amount === 1 ? '' : 's'}`;
}
