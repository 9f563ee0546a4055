import { userInfo } from 'node:os';
import { printable } from '../../config/problem.js';
import { isMapping } from '../../model/schema/shape.js';
import { type ExitCode, Failure } from '../exit-codes.js';
import type { AdminTarget } from './admin-target.js';

/** Exit codes of statuses that the admin API refuses with; of all others 1. */
const codeOf: Readonly<Record<number, ExitCode>> = {
  400: 7,
  401: 4,
  403: 4,
  404: 5,
  409: 6,
  412: 6,
  413: 7,
  415: 7,
  422: 7,
};

/** What an answer says that is not what was asked for. */
export function refusal(status: number, body: unknown, target: AdminTarget): Failure {
  const { code, detail, remedy, problems } = (body ?? {}) as Partial<Record<string, unknown>>;
  if (typeof code !== 'string' || typeof detail !== 'string' || typeof remedy !== 'string') {
    const where = `${placeOf(target)} (${target.source})`;
    return new Failure(1, `${where} answered ${status} in another form: is it the admin side of a fastcontainer?`);
  }
  const hint = status === 401 ? tokenHint(target) : remedy;
  const faults = Array.isArray(problems) ? problems.filter(isFault) : [];
  const lines = [`${detail} ${hint}`.trim(), ...faults.map(faultLine)];
  return new RefusedByApi(codeOf[status] ?? 1, lines.map(printable).join('\n'), { code, problems: faults });
}

interface Fault {
  readonly path: string;
  readonly message: string;
}

/** A refusal in the words of the admin API. */
export class RefusedByApi extends Failure {
  /** Such as `app_in_file`. */
  readonly code: string;
  readonly problems: readonly Fault[];

  constructor(
    exitCode: ExitCode,
    message: string,
    { code, problems }: { readonly code: string; readonly problems: readonly Fault[] },
  ) {
    super(exitCode, message);
    this.code = code;
    this.problems = problems;
  }
}

/** Why there is no answer. */
export function unreachable(error: Error, target: AdminTarget): Failure {
  const { code } = error as NodeJS.ErrnoException;
  const place = placeOf(target);
  return new Failure(3, `${hintOf(code, place, target) ?? `${place}: ${printable(error.message)}`} (${target.source})`);
}

function hintOf(code: string | undefined, place: string, { at, isOfFile }: AdminTarget): string | undefined {
  if ('url' in at)
    return code === 'ECONNREFUSED'
      ? `nothing listens on ${place}: is the daemon running, and is this its admin.listen?`
      : undefined;
  switch (code) {
    case 'ENOENT':
      return isOfFile
        ? `there is no socket ${place}: is the daemon running, and with this main file? ` +
            'A relative stateDir is below the directory that it was started in; --url names another place'
        : `there is no socket ${place}: is the daemon running, and is this its admin.listen?`;
    case 'ECONNREFUSED':
      return `nothing listens on ${place}: the daemon that made it has ended; start it`;
    case 'EACCES':
    case 'EPERM':
      return `user ${userInfo().username} may not open ${place}: run this as the daemon's user, or see admin.socket`;
    default:
      return undefined;
  }
}

function placeOf({ at }: AdminTarget): string {
  return printable('url' in at ? at.url.origin : at.socketPath);
}

function tokenHint({ token }: AdminTarget): string {
  return token === undefined
    ? 'Give it with --token-file FILE or in FASTCONTAINER_TOKEN.'
    : 'The daemon does not know the token that was sent.';
}

function isFault(value: unknown): value is Fault {
  return isMapping(value) && typeof value['path'] === 'string' && typeof value['message'] === 'string';
}

function faultLine({ path, message }: Fault): string {
  return `  ${path === '' ? '' : `${path}: `}${message}`;
}
