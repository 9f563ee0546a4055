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

  /** Resolves when the record can be looked up. Rejects with what the command says, or if it takes too long. */
  set(domain: string, challenge: Challenge): Promise<void> {
    return this.#run('set', domain, challenge);
  }

  unset(domain: string, challenge: Challenge): Promise<void> {
    return this.#run('unset', domain, challenge);
  }

  #run(action: 'set' | 'unset', domain: string, { answer }: Challenge): Promise<void> {
    const { command, user, timeoutMs } = this.#options;
    const [program = '', ...first] = command;
    const value = createHash('sha256').update(answer).digest('base64url');
    return new Promise((resolve, reject) => {
      const child = spawn(program, [...first, action, `_acme-challenge.${domain}`, value], {
        // A group of its own, so that what it starts ends with it.
        ...{ cwd: '/', env: { PATH: path, LC_ALL: 'C' }, stdio: ['ignore', 'pipe', 'pipe'], detached: true },
        ...(user && { uid: user.uid, gid: user.gid }),
      });
      let words = '';
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text: string) => (words = (words + text).slice(-mostWords)));
      }
      const endAll = () => {
        try {
          if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
        } catch {
          // None is left.
        }
      };
      let isLate = false;
      const deadline = setTimeout(() => {
        isLate = true;
        endAll();
      }, timeoutMs);
      const settle = (fault?: string) => {
        clearTimeout(deadline);
        endAll();
        // What left its group may hold the pipes.
        child.stdout.destroy();
        child.stderr.destroy();
        if (fault === undefined) resolve();
        else reject(new Error(`the command of tls.acme.dns ${fault}`));
      };
      child.once('error', (error) => settle(`cannot be run: ${error.message}`));
      child.once('exit', (code, signal) => {
        if (code === 0) return settle();
        const how = isLate ? `took more than ${timeoutMs} ms` : `ended with ${signal ?? `exit code ${code}`}`;
        // The last words may still be in the pipe.
        setImmediate(() => settle(`${how} at ${action}: ${words.trim().replaceAll(/[^ -~]+/g, ' ')}`));
      });
    });
  }
}
