/**
 * One thing that is wrong in a configuration file. `line` counts from 1; `path` is '' for the whole file.
 */
export interface Problem {
  /** See showFile. */
  readonly file: string;
  readonly line: number;
  /** Such as `scale.max` or `domains[1]`. */
  readonly path: string;
  readonly message: string;
}

const longestMessage = 400;

/** A problem with a bounded message without control characters: it may quote the file. */
export function problemAt(file: string, line: number, path: string, message: string): Problem {
  const bounded = message.length > longestMessage ? `${message.slice(0, longestMessage)}…` : message;
  return { file: printable(file), line, path: printable(path), message: printable(bounded) };
}

/** Control characters, those that change the direction of text, and halves of surrogate pairs, as escapes. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cs}\u2028\u2029\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
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
