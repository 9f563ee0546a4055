import type { Argument, Command, Option } from 'commander';
import { exitCodes } from '../../src/cli/exit-codes.js';
import { createProgram } from '../../src/cli/program.js';
import { usualFiles } from '../../src/cli/usual-files.js';

/** docs/cli.md, from the commands themselves. */
export function cliPage(): string {
  const program = createProgram(() => {});
  const commands = program.commands.filter((command) => command.name() !== 'help');
  const common = commonOptions(commands);
  return [
    '# The command',
    '',
    '<!-- Generated from src/cli/program.ts by `npm run docs`; do not edit. -->',
    '',
    introduction,
    '',
    '## Exit codes',
    '',
    ...rows(['code', 'meaning'], Object.entries(exitCodes)),
    '',
    '## Commands that ask a daemon',
    '',
    ...optionRows(common),
    '',
    ...commands.filter(asksDaemon).flatMap((command) => section(command, common)),
    '## Commands that need none',
    '',
    ...commands.filter((command) => !asksDaemon(command)).flatMap((command) => section(command, [])),
  ]
    .join('\n')
    .replace(/\n+$/, '\n');
}

const introduction = `\`start\` serves and \`check\` looks; the others ask a running daemon through its admin side ([api.md](api.md)) and work on the same machine without
more, or from anywhere with an address and a token.

**Which daemon.** \`--url\` names its admin side, an \`https://\` address or \`unix:PATH\`; else the main file that \`--config\` names does, else
FASTCONTAINER_URL, else the main file that \`start\` would take: ${usualFiles.map((file) => `\`${file}\``).join(', ')}, or the example of the package.
A main file that others can change is not taken by itself. Of the file only \`admin.listen\`, \`admin.token\` and \`stateDir\` are read, so that variables of the
rest need not be set. Where \`stateDir\` is relative, run the command in the daemon's working directory, or set \`admin.listen\`.

**Who asks.** On the socket its file's mode says who may. An address needs a token: \`--token-file FILE\`, FASTCONTAINER_TOKEN, or \`--token\`, which
others can see in the list of processes; for the daemon of a main file also its \`admin.token\`. Members of a group of \`admin.socket\` who may not read the
main file name the socket with \`--url unix:PATH\` or FASTCONTAINER_URL; its directory has to let them pass (with the systemd unit: \`RuntimeDirectoryMode=0711\`).

**Output** is a table for people. With \`--json\` it is JSON with the keys of the admin API, which stay: \`apps\` and \`instances\` print a list of all pages,
\`app\` an object with the \`etag\` added, \`put\` and \`rm\` an object a line,
\`boot\`, \`stop\`, \`restart\` and \`drain\` an object, whose \`done\` is false if the operation goes on (exit code 1 if it was waited for). Errors go to stderr. There are colours only on a terminal, and
none if NO_COLOR is set. Control characters in what apps or the store supplied are written as \`\\u001b\`.

**Files for \`put\`** are YAML or JSON with the keys of an app file; several apps are divided by \`---\` and put one after the other. Variables are not put in:
\`\${X}\` is text here, unlike in files that the daemon reads, and the command warns of it.`;

function section(command: Command, common: readonly Option[]): string[] {
  const own = command.options.filter((option) => !common.some(({ long }) => long === option.long));
  const words = command.registeredArguments.map((it) => (it.required ? `<${it.name()}>` : `[${it.name()}]`));
  return [
    `### \`fastcontainer ${[command.name(), ...words].join(' ')}\``,
    '',
    command.description(),
    '',
    ...command.registeredArguments.flatMap((it) => (it.description ? [`- \`${it.name()}\`: ${toldOf(it)}`] : [])),
    ...(command.registeredArguments.length > 0 ? [''] : []),
    ...(own.length > 0 ? [...optionRows(own), ''] : []),
  ];
}

function asksDaemon(command: Command): boolean {
  return command.options.some(({ long }) => long === '--url');
}

/** Those that every command that asks a daemon has. */
function commonOptions(commands: readonly Command[]): Option[] {
  const remote = commands.filter(asksDaemon);
  const [first] = remote;
  return (first?.options ?? []).filter((option) =>
    remote.every((command) => command.options.some(({ long }) => long === option.long)),
  );
}

function optionRows(options: readonly Option[]): string[] {
  return rows(
    ['option', 'what it does'],
    options.map((option) => [`\`${option.flags.replaceAll('|', '\\|')}\``, told(option)]),
  );
}

function told({ description, argChoices, defaultValue, defaultValueDescription }: Option): string {
  const choices = argChoices ? `: ${argChoices.map((choice) => `\`${choice}\``).join(', ')}` : '';
  const byDefault = defaultValueDescription ?? (typeof defaultValue === 'string' ? defaultValue : undefined);
  return `${description}${choices}${byDefault === undefined ? '' : ` (default: ${byDefault})`}`.replaceAll('|', '\\|');
}

function toldOf({ description, argChoices, defaultValue }: Argument): string {
  const choices = argChoices ? `: ${argChoices.map((choice) => `\`${choice}\``).join(', ')}` : '';
  return `${description}${choices}${typeof defaultValue === 'string' ? ` (default: \`${defaultValue}\`)` : ''}`;
}

function rows(headings: readonly string[], cells: readonly (readonly string[])[]): string[] {
  const line = (row: readonly string[]) => `| ${row.join(' | ')} |`;
  return [line(headings), `|${headings.map(() => '---|').join('')}`, ...cells.map(line)];
}
