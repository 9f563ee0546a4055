/** What each exit code of the command means. The one source of its help and of docs/cli.md. */
export const exitCodes = {
  0: 'ended well',
  1: 'the configuration, the host, the start or the daemon is at fault; stderr says what to do',
  2: 'the command line is wrong',
  3: 'the daemon cannot be reached',
  4: 'the caller may not do this: no known token, or one without the scope',
  5: 'there is no such app',
  6: 'it is not as expected: the app stands in a file, its domain or name is taken, or somebody else changed it',
  7: 'what was sent is not valid',
} as const;

export type ExitCode = keyof typeof exitCodes;

/** Ends the command with a message for stderr, of one line or several. What others supplied is printable in it. */
export class Failure extends Error {
  override readonly name = 'Failure';
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}
