/**
 * One thing that is wrong in a configuration file. `line` counts from 1; `path` is '' where the whole file is meant.
 */
export interface Problem {
  /** As an operator would type it: relative to the working directory where it lies below it. */
  readonly file: string;
  readonly line: number;
  /** Such as `scale.max` or `domains[1]`. */
  readonly path: string;
  readonly message: string;
}

/** Names every problem of a configuration at once. `message` holds one line per problem. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(problems.map(formatProblem).join('\n'));
    this.problems = problems;
  }
}

/** `config/apps/hello.yaml:12 scale.max: must be a whole number from 1 to 1000, got "many"` */
export function formatProblem(problem: Problem): string {
  const path = problem.path === '' ? '' : ` ${problem.path}`;
  return `${problem.file}:${problem.line}${path}: ${problem.message}`;
}
