import { Command, CommanderError, Option } from 'commander';
import { scopes } from '../admin/caller.js';
import { exampleFile } from './package-directory.js';
import { version } from './version.js';

/** 0 ended well, 1 the configuration, the host or the start is at fault, 2 the command line is. */
export type ExitCode = 0 | 1 | 2;

const help = `
Examples:
  $ fastcontainer check --config config/fastcontainer.yaml
  $ fastcontainer start --config config/fastcontainer.yaml
  $ fastcontainer token panel --scope write

Exit codes:
  0  ended well
  1  the configuration, the host or the start is at fault; stderr says what to do
  2  the command line is wrong`;

/** Runs one command line (`process.argv`) and resolves to the exit code when the command has ended. */
export async function runCli(argv: readonly string[]): Promise<ExitCode> {
  let code: ExitCode = 0;
  const program = new Command('fastcontainer')
    .description(
      'Wakes a container for a request: checks the CMDB, boots on demand, forwards, and terminates what is idle.',
    )
    .version(version(), '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .addHelpText('after', help)
    .showHelpAfterError('(fastcontainer --help tells more)')
    .exitOverride();

  program
    .command('start')
    .description('Serve in the foreground. SIGTERM drains and exits, a second one ends at once; SIGHUP reloads.')
    .addOption(configOption())
    .option(
      '--stop-apps',
      'end the containers with the daemon; by default they run on, and the next start finds them',
      false,
    )
    .action(async (options: { config: string; stopApps: boolean }) => {
      const { start } = await import('./start.js');
      code = await start(options);
    });

  program
    .command('check')
    .description(
      'Validate the configuration files and this host. Exits with 1 and every problem named; warnings do not fail.',
    )
    .addOption(configOption())
    .action(async (options: { config: string }) => {
      const [{ check }, { adapterChecks }] = await Promise.all([
        import('./check.js'),
        import('./host-checks/adapter-checks.js'),
      ]);
      code = await check(options, adapterChecks);
    });

  program
    .command('token')
    .description('Make a token of the admin API: prints it, and what the main file gets. Stores nothing.')
    .argument('<name>', 'its name in the log, such as panel')
    .addOption(new Option('--scope <scope>', 'what it is for').choices(scopes).default('read'))
    .option('--json', 'print JSON', false)
    .action(async (name: string, options: { scope: string; json: boolean }) => {
      const { token } = await import('./token.js');
      code = token({ name, ...options });
    });

  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : 2;
  }
  return code;
}

function configOption(): Option {
  return new Option('-c, --config <file>', 'the main file, such as /etc/fastcontainer/fastcontainer.yaml').default(
    exampleFile,
    'the example of the package',
  );
}
