import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import type { Challenge } from './authority.js';

export interface DnsHookOptions {
  /** Program and first arguments; no shell reads them. */
  readonly command: readonly string[];
  /** Absent: the user of this process. */
  readonly user?: { readonly uid: number; readonly gid: number };
  readonly timeoutMs: number;
}

/** Of what it says, the end is kept. */
const mostWords = 500;
/** In which programs are looked for. */
const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * Has a command of the operator write and remove the TXT record that proves to an authority whose a domain is: RFC 8555 §8.4. Called as
 * `COMMAND... set NAME VALUE` and `COMMAND... unset NAME VALUE`.
 */
export class DnsHook {
  readonly #options: DnsHookOptions;

  constructor(options: DnsHookOptions) {
    this.#options = options;
  }

  /** Resolves when the record can be looked up. Rejects with what the command says, or if it takes too long, or the signal aborts. */
  set(domain: string, challenge: Challenge, signal: AbortSignal): Promise<void> {
    return this.#run('set', domain, challenge, signal);
  }

  unset(domain: string, challenge: Challenge, signal: AbortSignal): Promise<void> {
    return this.#run('unset', domain, challenge, signal);
  }

  async #run(action: 'set' | 'unset', domain: string, { answer }: Challenge, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { command, user, timeoutMs } = this.#options;
    const [program = '', ...first] = command;
    const value = createHash('sha256').update(answer).digest('base64url');
    return new Promise((resolve, reject) => {
      const fail = (fault: string) => reject(new Error(`the command of tls.acme.dns ${fault}`));
      const child = spawn(program, [...first, action, `_acme-challenge.${domain}`, value], {
        // A group of its own, so that what it starts ends with it.
        ...{ cwd: '/', env: { PATH: path, LC_ALL: 'C' }, stdio: ['ignore', 'pipe', 'pipe'], detached: true },
        ...(user && { uid: user.uid, gid: user.gid }),
      });
      child.once('error', (error) => fail(`cannot be run: ${error.message}`));
      const { pid } = child;
      // Without free descriptors it has not even streams.
      if (pid === undefined) return;
      let words = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text: string) => (words = (words + text).slice(-mostWords)));
      }
      const endAll = () => {
        try {
          process.kill(-pid, 'SIGKILL');
        } catch {
          // None is left.
        }
      };
      let given: string | undefined;
      const giveUp = (why: string) => {
        given ??= why;
        endAll();
      };
      const deadline = setTimeout(() => giveUp(`took more than ${timeoutMs} ms`), timeoutMs);
      const onAbort = () => giveUp('was given up with its order');
      signal.addEventListener('abort', onAbort, { once: true });
      child.once('exit', (code, by) => {
        clearTimeout(deadline);
        signal.removeEventListener('abort', onAbort);
        endAll();
        // The last words may still be in the pipe.
        setImmediate(() => {
          // What left its group may hold the pipes.
          child.stdout.destroy();
          child.stderr.destroy();
          if (code === 0) return resolve();
          const how = given ?? `ended with ${by ?? `exit code ${code}`}`;
          fail(`${how} at ${action}: ${words.trim().replaceAll(/[^ -~]+/g, ' ')}`);
        });
      });
    });
  }
}
