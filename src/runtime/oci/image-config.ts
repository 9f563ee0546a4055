import type { App } from '../../model/app.js';

/** What an image says about the programs that run in it (OCI image-spec 1.0, `config`). */
export interface ImageConfig {
  readonly env: Readonly<Record<string, string>>;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly cwd: string | undefined;
  readonly user: string | undefined;
}

/** As many and as long as a program can be started with. */
const mostWords = 10_000;
const longestWord = 128 * 1024;
const longestPath = 4_096;

/** Reads the configuration of an image. Throws an Error that says what is wrong with it. */
export function imageConfig(text: string): ImageConfig {
  const { config } = objectIn(JSON.parse(text), 'the configuration of the image');
  const said = config === undefined || config === null ? {} : objectIn(config, 'its config');
  const env = wordsIn(said['Env'], 'Env').map((entry) => {
    const at = entry.indexOf('=');
    if (at < 1) throw new Error(`its config has the entry ${JSON.stringify(entry)} in Env, which is not NAME=VALUE`);
    return [entry.slice(0, at), entry.slice(at + 1)];
  });
  return {
    env: Object.fromEntries(env) as Record<string, string>,
    entrypoint: wordsIn(said['Entrypoint'], 'Entrypoint'),
    command: wordsIn(said['Cmd'], 'Cmd'),
    cwd: wordIn(said['WorkingDir'], 'WorkingDir'),
    user: wordIn(said['User'], 'User'),
  };
}

/**
 * The app with what its image says, where the app itself says nothing. As with `docker run`, a command of the app replaces that of the
 * image and is given to the image's entrypoint. The image never makes an app root, which only `user` of the app can.
 */
export function withImage(app: App, { env, entrypoint, command, cwd, user }: ImageConfig): App {
  const words = [...entrypoint, ...(app.command ?? command)];
  const ofImage = user === undefined || /^(root|0+)(:|$)/.test(user) ? undefined : user;
  const [runsAs, runsIn] = [app.user ?? ofImage, app.cwd ?? cwd];
  return {
    ...app,
    env: { ...env, ...app.env },
    ...(words.length > 0 && { command: words }),
    ...(runsAs !== undefined && { user: runsAs }),
    ...(runsIn !== undefined && { cwd: runsIn }),
  };
}

function objectIn(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new Error(`${what} is not an object`);
}

function wordsIn(value: unknown, name: string): string[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value) && value.length <= mostWords && value.every(isWord)) return value;
  throw new Error(`its config has a ${name} that is not a list of texts`);
}

function wordIn(value: unknown, name: string): string | undefined {
  if (value === undefined || value === null || value === '') return undefined;
  if (isWord(value) && value.length <= longestPath) return value;
  throw new Error(`its config has a ${name} that is not a text`);
}

function isWord(value: unknown): value is string {
  return typeof value === 'string' && value.length <= longestWord && !value.includes('\0');
}
