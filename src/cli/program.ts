import { Argument, Command, Option } from 'commander';
import { appStates } from '../admin/app-view.js';
import { scopes } from '../admin/caller.js';
import { type Shell, shells } from './completion.js';
import { type ExitCode, exitCodes } from './exit-codes.js';
import type { ApiClient } from './remote/api-client.js';
import type { TargetOptions } from './remote/admin-target.js';
import type { Operation } from './remote/operate.js';
import type { Screen } from './remote/screen.js';
import { usualFiles, usualMainFile } from './usual-files.js';
import { version } from './version.js';

const help = `
Examples:
  $ fastcontainer check --config config/fastcontainer.yaml
  $ fastcontainer start --config config/fastcontainer.yaml
  $ fastcontainer apps --state failed
  $ fastcontainer put shop.yaml --dry-run
  $ fastcontainer token panel --scope write

Exit codes:
${Object.entries(exitCodes)
  .map(([code, meaning]) => `  ${code}  ${meaning}`)
  .join('\n')}`;

/** Every command with its options: what parses a command line, its help, docs/cli.md and shell completion. `exit` gets the exit code. */
export function createProgram(exit: (code: ExitCode) => void): Command {
  const program = new Command('fastcontainer')
    .description(
      'Wakes a container for a request: checks the CMDB, boots on demand, forwards, and terminates what is idle.',
    )
    .version(version(), '--version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .addHelpText('after', help)
    .showHelpAfterError('(fastcontainer --help tells more)');
  addOwnCommands(program, exit);
  addRemoteCommands(program);
  return program;
}

/** Commands that need no running daemon. */
function addOwnCommands(program: Command, exit: (code: ExitCode) => void): void {
  program
    .command('start')
    .description('Serve in the foreground. SIGTERM drains and exits, a second one ends at once; SIGHUP reloads.')
    .addOption(configOption())
    .option(
      '--stop-apps',
      'end the containers with the daemon; by default they run on, and the next start finds them',
      false,
    )
    .action(async ({ config, stopApps }: { config?: string; stopApps: boolean }) => {
      const { start } = await import('./start.js');
      exit(await start({ config: config ?? usualMainFile(), isUsual: config === undefined, stopApps }));
    });

  program
    .command('check')
    .description(
      'Validate the configuration files and this host. Exits with 1 and every problem named; warnings do not fail.',
    )
    .addOption(configOption())
    .action(async ({ config = usualMainFile() }: { config?: string }) => {
      const [{ check }, { adapterChecks }] = await Promise.all([
        import('./check.js'),
        import('./host-checks/adapter-checks.js'),
      ]);
      exit(await check({ config }, adapterChecks));
    });

  program
    .command('token')
    .description('Make a token of the admin API: prints it, and what the main file gets. Stores nothing.')
    .argument('<name>', 'its name in the log, such as panel')
    .addOption(new Option('--scope <scope>', 'what it is for').choices(scopes).default('read'))
    .option('--json', 'print JSON', false)
    .action(async (name: string, options: { scope: string; json: boolean }) => {
      const { token } = await import('./token.js');
      exit(token({ name, ...options }));
    });

  program
    .command('init')
    .description('Write a main file with comments, an app and a systemd unit. Overwrites nothing.')
    .argument('[directory]', 'where to, such as /etc/fastcontainer', '.')
    .action(async (directory: string) => {
      const { init } = await import('./init.js');
      const [main = '', , unit = ''] = await init(directory);
      process.stdout.write(
        `made ${main}, an app in apps/ and ${unit}\nnext:\n  fastcontainer check --config ${main}\n` +
          `  fastcontainer start --config ${main}\n  # or as a service:\n  cp ${unit} /etc/systemd/system/ && systemctl enable --now fastcontainer\n`,
      );
    });

  program
    .command('completion')
    .description('Print the completion of a shell; its first line says where it goes.')
    .addArgument(new Argument('<shell>', 'the shell').choices(shells))
    .action(async (shell: Shell) => {
      const { completion } = await import('./completion.js');
      process.stdout.write(completion(program, shell));
    });
}

/** Commands that ask the admin API of a daemon. */
function addRemoteCommands(program: Command): void {
  remote(program, 'apps', 'List apps.')
    .addOption(new Option('--state <state>', 'only apps in this state').choices(appStates))
    .option('--plan <plan>', 'only apps that were put by API with this plan')
    .option('--label <label>', 'only apps with this label, NAME or NAME=VALUE; may be repeated', several)
    .option('--text <text>', 'only apps with this in their name or a domain')
    .action(
      asking(async (client, screen, _args, options) => {
        const { apps } = await import('./remote/apps.js');
        await apps(client, screen, options as unknown as Parameters<typeof apps>[2]);
      }),
    );

  remote(program, 'app', 'Show an app: its state, its instances, and what it says.')
    .addArgument(appArgument())
    .option('--effective', 'show it with what plan, defaults and built-ins say', false)
    .action(
      asking(async (client, screen, [name = ''], options) => {
        const { app } = await import('./remote/app.js');
        await app(client, screen, { ...(options as unknown as Parameters<typeof app>[2]), name });
      }),
    );

  remote(program, 'put', 'Put the apps of a file: make them, or put another content in their place.')
    .argument('<file>', 'YAML or JSON with the keys of an app file, and its name; - is stdin')
    .addOption(dryRunOption())
    .option('--if-match <etag>', 'only if the app is still the one that `app` showed with this ETag')
    .option('--if-absent', 'only if there is no such app', false)
    .action(
      asking(async (client, screen, [file = ''], options) => {
        const { put } = await import('./remote/put.js');
        await put(client, screen, { ...(options as unknown as Parameters<typeof put>[2]), file });
      }),
    );

  remote(program, 'rm', 'Remove an app that was put by API; its instances end when their requests have.')
    .addArgument(appArgument())
    .addOption(dryRunOption())
    .option('--if-match <etag>', 'only if the app is still the one that `app` showed with this ETag')
    .action(
      asking(async (client, screen, [name = ''], options) => {
        const { rm } = await import('./remote/rm.js');
        await rm(client, screen, { ...(options as unknown as Parameters<typeof rm>[2]), name });
      }),
    );

  for (const [operation, description] of Object.entries(operations)) {
    const command = remote(program, operation, description).addArgument(appArgument());
    if (operation !== 'drain') command.option('--no-wait', 'do not wait until it is done');
    command.action(
      asking(async (client, screen, [name = ''], options) => {
        const { operate } = await import('./remote/operate.js');
        const { json, wait = true } = options as { readonly json: boolean; readonly wait?: boolean };
        await operate(client, screen, { name, operation: operation as Operation, json, wait });
      }),
    );
  }

  remote(program, 'maintenance', 'Put an app into maintenance or out of it; without a mode, tell whether it is.')
    .addArgument(appArgument())
    .addArgument(
      new Argument(
        '[mode]',
        '`page` answers in its place, `hold` lets requests wait, `app` leaves it to the app',
      ).choices([...['off', 'page', 'hold', 'app']]),
    )
    .option('--text <text>', 'what the page says')
    .action(
      asking(async (client, screen, [name = '', mode], options) => {
        const { maintenance } = await import('./remote/maintenance.js');
        const { json, text } = options as { readonly json: boolean; readonly text?: string };
        await maintenance(client, screen, { name, json, ...(mode && { mode }), ...(text !== undefined && { text }) });
      }),
    );

  remote(program, 'events', 'Tell what happened to instances, and why: of all apps or of one, the latest last.')
    .argument('[app]', 'only those of this app')
    .option('-f, --follow', 'go on with what happens next', false)
    .option('-n, --limit <count>', 'how many of before, at most 1000', '100')
    .action(
      asking(async (client, screen, [app], options) => {
        const { events } = await import('./remote/events.js');
        const given = options as unknown as Parameters<typeof events>[2];
        await events(client, screen, { ...given, ...(app !== undefined && { app }) });
      }),
    );

  remote(program, 'why', 'Say why an app is awake or asleep, what keeps it awake, and why it does not boot.')
    .addArgument(appArgument())
    .action(
      asking(async (client, screen, [name = ''], options) => {
        const { why } = await import('./remote/why.js');
        await why(client, screen, { name, json: options['json'] === true });
      }),
    );

  remote(program, 'nodes', 'List the dispatcher processes that share the store.').action(
    asking(async (client, screen, _args, options) => {
      const { nodes } = await import('./remote/nodes.js');
      await nodes(client, screen, options as unknown as Parameters<typeof nodes>[2]);
    }),
  );

  remote(program, 'usage', 'Tell what apps used, by app and day; of all apps or of one.')
    .argument('[app]', 'only this app')
    .option('--from <day>', 'the first day in UTC, such as 2026-11-01; today by default')
    .option('--to <day>', 'the last day; today by default')
    .option('--label <label>', 'only apps with this label, NAME or NAME=VALUE; may be repeated', several)
    .addOption(new Option('--csv', 'print CSV').conflicts('json').default(false))
    .action(
      asking(async (client, screen, [app], options) => {
        const { usage } = await import('./remote/usage.js');
        await usage(client, screen, { ...(options as unknown as Parameters<typeof usage>[2]), ...(app && { app }) });
      }),
    );

  remote(program, 'instances', 'List instances, of all apps or of one.')
    .argument('[app]', 'only those of this app')
    .action(
      asking(async (client, screen, [app], options) => {
        const { instances } = await import('./remote/instances.js');
        const { json } = options as unknown as Parameters<typeof instances>[2];
        await instances(client, screen, { json, ...(app !== undefined && { app }) });
      }),
    );
}

const operations: Readonly<Record<Operation, string>> = {
  boot: 'Wake an app, even in the back-off after a failed boot.',
  stop: 'End all instances of an app; the next request wakes it again.',
  restart: 'Replace the instances of an app that are in use by fresh ones, and end the others.',
  drain: 'Send nothing more to the ready instances of an app; they end when their requests have.',
};

function remote(program: Command, name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .option('--json', 'print JSON, with the keys of the admin API', false)
    .addOption(
      new Option('-c, --config <file>', 'ask the daemon of this main file').default(undefined, 'as `start` finds it'),
    )
    .addOption(
      new Option('--url <url>', 'ask the daemon at this address, or unix:PATH; also FASTCONTAINER_URL').conflicts(
        'config',
      ),
    )
    .option('--token-file <file>', 'read the token from this file; - is stdin')
    .option(
      '--token <token>',
      'the token; others see it in the list of processes, so prefer FASTCONTAINER_TOKEN or a file',
    );
}

type Ask = (
  client: ApiClient,
  screen: Screen,
  args: readonly (string | undefined)[],
  options: Readonly<Record<string, unknown>>,
) => Promise<void>;

/** An action with a client of the admin side that the options name. */
function asking(ask: Ask): (...given: unknown[]) => Promise<void> {
  return async (...given) => {
    const command = given.at(-1) as Command;
    const options = command.opts<Record<string, unknown>>();
    const { connectTo } = await import('./remote/connect.js');
    const { client, screen } = connectTo(options as unknown as TargetOptions);
    await ask(client, screen, command.args, options);
  };
}

function appArgument(): Argument {
  return new Argument('<name>', 'name of the app');
}

function dryRunOption(): Option {
  return new Option('--dry-run', 'change nothing, and show what would change').default(false);
}

function several(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

function configOption(): Option {
  return new Option('-c, --config <file>', 'the main file, such as /etc/fastcontainer/fastcontainer.yaml').default(
    undefined,
    `${usualFiles.join(', ')}, or the example of the package`,
  );
}
