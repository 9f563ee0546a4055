/** What `npm run bench -- …` was asked for. */
export interface BenchArguments {
  /** In the order in which they run; never empty. */
  readonly parts: readonly string[];
  /** Short, for CI: shows that everything works, not how fast it is. */
  readonly smoke: boolean;
  /** A stable budget that is not held makes the exit code 1. */
  readonly gate: boolean;
  /** Tables as Markdown, for docs/performance.md. */
  readonly markdown: boolean;
  /** Of what is measured in rounds; undefined: each part's own number. */
  readonly rounds: number | undefined;
  /** Of load per run; undefined: each part's own. */
  readonly seconds: number | undefined;
  /** The directory of another checkout of this project, built, to measure in the same rounds. */
  readonly against: string | undefined;
}

export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Reads the command line; throws UsageError, whose message says what is wrong with it. */
export function parseArguments(args: readonly string[], known: readonly string[]): BenchArguments {
  const asked: string[] = [];
  const flags = new Set<string>();
  const numbers = new Map<string, number>();
  let against: string | undefined;
  for (let index = 0; index < args.length; index += 1) {
    const [word = '', inline] = (args[index] ?? '').split('=', 2);
    if (['--smoke', '--gate', '--markdown'].includes(word)) {
      if (inline !== undefined) throw new UsageError(`${word} takes no value`);
      flags.add(word);
    } else if (word === '--rounds' || word === '--seconds') {
      numbers.set(word, wholeNumber(word, inline ?? args[(index += 1)]));
    } else if (word === '--against') {
      against = inline ?? args[(index += 1)];
      if (!against || against.startsWith('-')) throw new UsageError('--against takes a directory');
    } else if (word.startsWith('-')) {
      throw new UsageError(`there is no option ${word}`);
    } else if (!known.includes(word)) {
      throw new UsageError(`there is no part '${word}'; there are: ${known.join(', ')}`);
    } else asked.push(word);
  }
  return {
    parts: asked.length === 0 ? known : [...new Set(asked)],
    smoke: flags.has('--smoke'),
    gate: flags.has('--gate'),
    markdown: flags.has('--markdown'),
    rounds: numbers.get('--rounds'),
    seconds: numbers.get('--seconds'),
    against,
  };
}

const longest = 1_000;

function wholeNumber(option: string, text: string | undefined): number {
  const value = /^\d+$/.test(text ?? '') ? Number(text) : 0;
  if (value < 1 || value > longest) throw new UsageError(`${option} takes a whole number from 1 to ${longest}`);
  return value;
}
