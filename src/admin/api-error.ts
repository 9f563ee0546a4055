import type { DocumentFault } from '../config/app-document.js';

interface ApiErrorRow {
  readonly status: number;
  readonly title: string;
  /** What the caller can do. */
  readonly remedy: string;
}

/** Every refusal of the admin API. The one source of its table in docs/errors.md and of the answers in its OpenAPI document. */
export const apiErrorTable = {
  bad_request: {
    status: 400,
    title: 'The request cannot be read',
    remedy: 'The detail names the parameter or the place in the body; docs/api.md has what each route takes.',
  },
  unauthorized: {
    status: 401,
    title: 'A known token is needed',
    remedy: 'Send one of admin.tokens as Authorization: Bearer.',
  },
  forbidden: {
    status: 403,
    title: 'The caller may not do this',
    remedy: 'Use a token with the scope that the detail names, or one without labels.',
  },
  not_found: { status: 404, title: 'There is no such resource', remedy: 'docs/api.md has all routes.' },
  unknown_app: {
    status: 404,
    title: 'There is no such app',
    remedy: 'Check the name. A token with labels knows only apps that have these labels.',
  },
  unknown_domain: {
    status: 404,
    title: 'The app has no such domain',
    remedy: '`GET` of the app has its domains.',
  },
  app_in_file: {
    status: 409,
    title: 'The app stands in a file',
    remedy:
      'Change that file; the API changes only apps that were put by API. To hand an app over, delete its file first.',
  },
  app_unreadable: {
    status: 409,
    title: 'The record of the app cannot be read',
    remedy: 'The log names the cause. A token without labels may delete the app, and then put it again.',
  },
  domain_taken: {
    status: 409,
    title: 'A domain belongs to another app',
    remedy: 'Take the domain out of one of them; nothing of this app was changed.',
  },
  name_taken: {
    status: 409,
    title: 'The name belongs to another app',
    remedy: 'Give the app another name.',
  },
  precondition_failed: {
    status: 412,
    title: 'The app is not as the request expects',
    remedy: 'Somebody else changed it: get it again, and repeat the change with its new ETag.',
  },
  payload_too_large: { status: 413, title: 'The body is too large', remedy: 'Send less; the detail names the limit.' },
  unsupported_media_type: {
    status: 415,
    title: 'The body is of a type that is not read here',
    remedy: 'Send application/json; for PATCH also application/merge-patch+json.',
  },
  invalid_app: {
    status: 422,
    title: 'The app is not valid',
    remedy: '`problems` names each key at fault, in the words that app files get; docs/configuration.md has all keys.',
  },
  too_many_streams: {
    status: 429,
    title: 'Too many streams are open',
    remedy: 'Close one first, or read page by page with `after`.',
  },
  boot_failed: {
    status: 502,
    title: 'The app could not be started',
    remedy: 'The detail says why; the log shows the last output of the app. To boot again tries at once.',
  },
  boot_timeout: {
    status: 504,
    title: 'The app did not become ready in time',
    remedy: 'Check that it listens on the PORT that it was given, or raise its bootTimeout.',
  },
  internal: { status: 500, title: 'This server failed', remedy: 'The log says why. Report it.' },
  cmdb_unavailable: {
    status: 503,
    title: 'The store cannot be reached',
    remedy: 'Send the same request again. A write may have been stored although its answer was lost.',
  },
} as const satisfies Record<string, ApiErrorRow>;

export type ApiErrorCode = keyof typeof apiErrorTable;

interface ApiErrorOptions {
  readonly problems?: readonly DocumentFault[];
  readonly headers?: Readonly<Record<string, string>>;
}

/** The refusal for a name that leads to no app, or to none that the caller knows. */
export function unknownApp(name: string): ApiError {
  return new ApiError('unknown_app', `There is no app ${name.slice(0, 100)}.`);
}

/** A refusal of the admin API; the message is for its caller. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: ApiErrorCode;
  readonly problems: readonly DocumentFault[] | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: ApiErrorCode, message: string, { problems, headers = {} }: ApiErrorOptions = {}) {
    super(message);
    this.code = code;
    this.problems = problems;
    this.headers = headers;
  }
}
