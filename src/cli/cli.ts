import { CommanderError } from 'commander';
import { type ExitCode, Failure } from './exit-codes.js';
import { createProgram } from './program.js';

/** Runs one command line (`process.argv`) and resolves to the exit code when the command has ended. */
export async function runCli(argv: readonly string[]): Promise<ExitCode> {
  let code: ExitCode = 0;
  const program = createProgram((given) => (code = given));
  for (const command of [program, ...program.commands]) command.exitOverride();
  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    if (error instanceof Failure) {
      process.stderr.write(`fastcontainer: ${error.message}\n`);
      return error.exitCode;
    }
    if (!(error instanceof CommanderError)) throw error;
    return error.exitCode === 0 ? 0 : 2;
  }
  return code;
}
