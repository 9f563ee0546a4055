import type { Argument, Command, Option } from 'commander';

export const shells = ['bash', 'zsh', 'fish'] as const;

export type Shell = (typeof shells)[number];

/** The script that completes the command line of `program` in a shell. */
export function completion(program: Command, shell: Shell): string {
  const commands = program.commands.map(described);
  return { bash, zsh, fish }[shell](commands);
}

interface Described {
  readonly name: string;
  readonly description: string;
  readonly options: readonly Option[];
  /** What its first argument may be; undefined: files, or what only the daemon knows. */
  readonly choices: readonly string[] | undefined;
  readonly takesFile: boolean;
}

function described(command: Command): Described {
  const [first] = command.registeredArguments as readonly Argument[];
  return {
    name: command.name(),
    description: command.description().split(/[.:;] |\.$/)[0] ?? '',
    options: command.options,
    choices: first?.argChoices,
    takesFile: first !== undefined && ['file', 'directory'].includes(first.name()),
  };
}

/** Whether the value of an option is a file. */
function isFile({ flags }: Option): boolean {
  return flags.endsWith('<file>');
}

function namesOf({ short, long }: Option): string[] {
  return [short, long].filter((name) => name !== undefined);
}

function bash(commands: readonly Described[]): string {
  const words = (name: string) => `COMPREPLY=($(compgen -W '${name}' -- "$cur"))`;
  const values = commands.flatMap(({ name, options }) =>
    options
      .filter((option) => option.required)
      .map((option) => {
        const patterns = namesOf(option).map((it) => `'${name} ${it}'`);
        return `    ${patterns.join('|')}) ${option.argChoices ? `${words(option.argChoices.join(' '))}; ` : ''}return ;;`;
      }),
  );
  const each = commands.map(({ name, options, choices = [] }) => {
    const all = [...options.flatMap(({ long }) => long ?? []), '--help'].join(' ');
    const plain = choices.length > 0 ? words(choices.join(' ')) : ':';
    return `    ${name}) case $cur in -*) ${words(all)} ;; *) ${plain} ;; esac ;;`;
  });
  return `# fastcontainer completion for bash: source it, or write it to /etc/bash_completion.d/fastcontainer
_fastcontainer() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command=\${COMP_WORDS[1]}
  COMPREPLY=()
  if ((COMP_CWORD == 1)); then
    ${words([...commands.map(({ name }) => name), 'help', '--help', '--version'].join(' '))}
    return
  fi
  # Without a word to offer, files are completed.
  case "$command $prev" in
${values.join('\n')}
  esac
  case $command in
${each.join('\n')}
    help) ${words(commands.map(({ name }) => name).join(' '))} ;;
  esac
}
complete -o default -F _fastcontainer fastcontainer
`;
}

function zsh(commands: readonly Described[]): string {
  const quote = (text: string) => text.replaceAll("'", "'\\''");
  const told = (text: string) => quote(text.replaceAll(/[[\]:\\]/g, String.raw`\$&`));
  const specOf = (option: Option) => {
    const value = option.argChoices ? `(${option.argChoices.join(' ')})` : isFile(option) ? '_files' : ' ';
    const tail = option.required ? `:value:${value}` : '';
    return namesOf(option).map((name) => `'*${name}[${told(option.description)}]${tail}'`);
  };
  const each = commands.map(({ name, options, choices, takesFile }) => {
    const first = choices ? [`'1:value:(${choices.join(' ')})'`] : takesFile ? ["'1:file:_files'"] : [];
    return `    ${name}) _arguments ${[...options.flatMap(specOf), ...first].join(' ')} ;;`;
  });
  return `#compdef fastcontainer
# fastcontainer completion for zsh: write it to a file _fastcontainer in a directory of fpath
_fastcontainer() {
  local -a commands=(${commands.map(({ name, description }) => `'${name}:${told(description)}'`).join(' ')})
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  shift words
  (( CURRENT-- ))
  case $words[1] in
${each.join('\n')}
  esac
}
if [[ $funcstack[1] == _fastcontainer ]]; then _fastcontainer; else compdef _fastcontainer fastcontainer; fi
`;
}

function fish(commands: readonly Described[]): string {
  const quote = (text: string) => `'${text.replaceAll('\\', '\\\\').replaceAll("'", String.raw`\'`)}'`;
  const lines = commands.flatMap(({ name, description, options, choices, takesFile }) => {
    const here = `complete -c fastcontainer -n '__fish_seen_subcommand_from ${name}'`;
    return [
      `complete -c fastcontainer -n __fish_use_subcommand -a ${name} -d ${quote(description)}`,
      ...options.map((option) => {
        const names = [option.short && `-s ${option.short.slice(1)}`, option.long && `-l ${option.long.slice(2)}`];
        const value = option.argChoices
          ? `-x -a ${quote(option.argChoices.join(' '))}`
          : !option.required
            ? ''
            : isFile(option)
              ? '-r -F'
              : '-x';
        return [here, ...names, value, `-d ${quote(option.description)}`].filter(Boolean).join(' ');
      }),
      ...(choices ? [`${here} -x -a ${quote(choices.join(' '))}`] : takesFile ? [`${here} -F`] : []),
    ];
  });
  return `# fastcontainer completion for fish: write it to ~/.config/fish/completions/fastcontainer.fish
complete -c fastcontainer -f
${lines.join('\n')}
`;
}
