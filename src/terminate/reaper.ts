import type { Logger } from 'pino';
import type { LocalApp } from '../check/local-app.js';
import type { LocalApps } from '../check/local-apps.js';
import type { NodeSession } from '../check/session.js';
import type { Cmdb } from '../cmdb/cmdb.js';
import type { Clock, Timer } from '../model/clock.js';
import type { Deployment } from '../model/deployment.js';
import { reap } from './reap-policy.js';
import type { Terminator } from './terminator.js';

export interface ReaperOptions {
  readonly cmdb: Cmdb;
  readonly apps: LocalApps;
  readonly session: NodeSession;
  readonly terminator: Terminator;
  readonly host: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

const tickMs = 500;
/** Apps taken from the schedule at once. */
const batch = 100;

/** Asks the schedule what is due and carries out what the reap policy decides. Its cost is the number of due apps. */
export class Reaper {
  readonly #options: ReaperOptions;
  #timer: Timer | undefined;
  #ticking: Promise<void> | undefined;
  #stopped = false;

  constructor(options: ReaperOptions) {
    this.#options = options;
    options.apps.onRecord((local) => this.#followRecord(local));
  }

  start(): void {
    if (this.#stopped) return;
    this.#timer = this.#options.clock.after(tickMs, () => {
      this.#ticking = this.#tick().finally(() => this.start());
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#ticking;
  }

  /** Looks at one app now. Never throws: what fails is due again. */
  async look(app: string): Promise<void> {
    const { cmdb, apps, session, host, clock, logger, terminator } = this.#options;
    try {
      const record = await cmdb.find({ app });
      if (!record || record.deployment.instances.length === 0) return;
      const { removed } = record;
      const deployment = await apps.update(app, (current, stored) =>
        reap(current, stored, {
          now: clock.now(),
          me: session.incarnation,
          host,
          verdict: (user) => session.verdict(user),
          mayEnd: session.mayJudge,
          removed,
        }),
      );
      for (const id of mineToEnd(deployment, session.incarnation)) void terminator.terminate(app, id);
    } catch (error) {
      logger.debug({ err: error, app }, 'looking for what has to end failed; the app is due again');
    }
  }

  async #tick(): Promise<void> {
    const { cmdb, clock, session } = this.#options;
    if (session.outage !== undefined || !session.mayJudge) return;
    const due = await cmdb.due(clock.now(), batch).catch(() => []);
    await Promise.all(due.map((app) => this.look(app)));
  }

  /** The last user of a draining instance has released it: no need to wait for the schedule. */
  #followRecord(local: LocalApp): void {
    const waits = local.deployment.instances.some(
      ({ state, users, host }) =>
        state === 'draining' && host === this.#options.host && Object.keys(users).length === 0,
    );
    if (waits && !this.#stopped) void this.look(local.name);
  }
}

function mineToEnd(deployment: Deployment, me: string): string[] {
  return deployment.instances.filter(({ state, owner }) => state === 'terminating' && owner === me).map(({ id }) => id);
}
