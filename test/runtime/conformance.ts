import { randomBytes } from 'node:crypto';
import type { Test } from 'tap';
import { type App, revisionOf } from '../../src/model/app.js';
import type { Address } from '../../src/model/instance.js';
import type { Exit, Inspection, InstanceSpec, Runtime } from '../../src/runtime/runtime.js';
import { eventually } from '../fixtures/eventually.js';

/** What an adapter brings to be tested. */
export interface Subject {
  /** A new handle on the same containers, as a restarted dispatcher opens one; closed when the test ends. */
  open(): Promise<Runtime>;
  /** An app that runs the fixture `web.mjs`, with the environment given. */
  app(env?: Record<string, string>): App;
  /** An app that ignores SIGTERM once it has written `deaf`. */
  deafApp(): App;
}

/**
 * What every runtime must do, whatever it is made of. `setUp` gives each test containers of its own and removes what
 * the test leaves; undefined where this machine cannot run them: it has then skipped the test.
 */
export function testRuntime(t: Test, setUp: (t: Test) => Promise<Subject | undefined>): void {
  for (const [sentence, run] of Object.entries(rules)) {
    void t.test(sentence, async (t) => {
      const subject = await setUp(t);
      if (subject) await run(t, subject);
    });
  }
}

const rules: Record<string, (t: Test, subject: Subject) => Promise<void>> = {
  async 'a booted app serves at its address and knows who it is'(t, subject) {
    const runtime = await subject.open();
    const phases: string[] = [];
    const spec = specOf(subject.app({ GREETING: 'good day' }));
    const address = await runtime.boot(spec, { ...patient(), onPhase: (phase) => void phases.push(phase) });
    t.match(await ask(address), { instance: spec.id, greeting: 'good day' });
    t.same(phases, ['create', 'start']);
  },

  async 'instances have addresses of their own, and a freed one is not reused at once'(t, subject) {
    const runtime = await subject.open();
    const [first, second] = await Promise.all([boot(runtime, subject.app()), boot(runtime, subject.app())]);
    t.match(await ask(first.address), { instance: first.id });
    t.match(await ask(second.address), { instance: second.id });
    await runtime.stop(first.id, 2_000);
    const third = await boot(runtime, subject.app());
    const addresses = [first, second, third].map(({ address }) => `${address.host}:${address.port}`);
    t.equal(new Set(addresses).size, 3);
  },

  async 'containers outlive their handle, and the next one lists, inspects and stops them'(t, subject) {
    const runtime = await subject.open();
    const booted = await boot(runtime, subject.app());
    await ask(booted.address);
    await runtime.close();
    await runtime.close();
    const next = await subject.open();
    t.same(await next.list(), [
      { id: booted.id, app: booted.app.name, revision: revisionOf(booted.app), running: true, address: booted.address },
    ]);
    t.match(await ask(booted.address), { instance: booted.id });
    const inspection = await next.inspect(booted.id);
    t.equal(inspection.state, 'running');
    t.not(inspection.state === 'running' && inspection.listening, false, 'what listens is not said not to');
    await next.stop(booted.id, 2_000);
    t.same(await next.list(), []);
  },

  async 'stop leaves nothing, is shared by all who call it at once, and is harmless again'(t, subject) {
    const runtime = await subject.open();
    const { id, address } = await boot(runtime, subject.app());
    await ask(address);
    await Promise.all([runtime.stop(id, 5_000), runtime.stop(id, 5_000), runtime.stop(id, 0)]);
    t.same(await runtime.inspect(id), { state: 'gone' });
    t.same(await runtime.list(), []);
    t.equal(await runtime.output(id, 1_000), '');
    await t.rejects(fetch(`http://${address.host}:${address.port}/`), 'nobody answers at its address');
    await runtime.stop(id, 5_000);
  },

  async 'what does not heed SIGTERM is killed when its grace is over'(t, subject) {
    const runtime = await subject.open();
    const { id } = await boot(runtime, subject.deafApp());
    await eventually(async () => (await runtime.output(id, 1_000)).includes('deaf'));
    await runtime.stop(id, 300);
    t.same(await runtime.inspect(id), { state: 'gone' });
  },

  async 'ids that never were are no failure'(t, subject) {
    const runtime = await subject.open();
    for (const id of ['no-such-instance', 'i', '', '..', '../../x', 'a/b', 'x?y=z', '%2e%2e', 'ü', '-']) {
      await runtime.stop(id, 0);
      t.same(await runtime.inspect(id), { state: 'gone' }, `inspect '${id}'`);
      t.equal(await runtime.output(id, 1_000), '', `output of '${id}'`);
    }
  },

  async 'an app that ends is reported once to all who watch, with its cause, and its last words stay'(t, subject) {
    const runtime = await subject.open();
    const seen: [Exit[], Exit[]] = [[], []];
    for (const exits of seen) runtime.watch((exit) => void exits.push(exit));
    const from = Date.now();
    const { id, app } = await boot(runtime, subject.app({ EXIT_AT_BOOT: 'no database' }));
    await eventually(() => seen.every((exits) => exits.length > 0));
    t.match(seen[0], [{ id, app: app.name, cause: 'exit code 3' }]);
    const inspection = await runtime.inspect(id);
    t.match(inspection, { state: 'exited', cause: 'exit code 3', startedAt: Number, endedAt: Number });
    const { startedAt = 0, endedAt = 0 } = inspection as Extract<Inspection, { state: 'exited' }>;
    // The kernel counts starts in hundredths of a second.
    t.ok(from - 20 <= startedAt && startedAt - 20 <= endedAt && endedAt <= Date.now(), `${startedAt} to ${endedAt}`);
    t.match(await runtime.list(), [{ id, running: false }]);
    t.match(await runtime.output(id, 1_000), /refusing to start: no database/);
    t.ok((await runtime.output(id, 5)).length <= 5);
    await runtime.stop(id, 1_000);
    t.same(await runtime.list(), []);
    t.same(
      seen.map(({ length }) => length),
      [1, 1],
    );
  },

  async 'an app that is killed is reported with the signal'(t, subject) {
    const runtime = await subject.open();
    const seen: Exit[] = [];
    runtime.watch((exit) => void seen.push(exit));
    const { id, app, address } = await boot(runtime, subject.app());
    await ask(address);
    await fetch(`http://${address.host}:${address.port}/die`).catch(() => undefined);
    await eventually(() => seen.length > 0);
    t.match(seen, [{ id, app: app.name, cause: 'signal SIGKILL' }]);
  },

  async 'the exit of what an earlier dispatcher started is reported too'(t, subject) {
    const earlier = await subject.open();
    const { id, address } = await boot(earlier, subject.app());
    await ask(address);
    await earlier.close();
    const seen: string[] = [];
    (await subject.open()).watch((exit) => void seen.push(exit.id));
    await fetch(`http://${address.host}:${address.port}/die`).catch(() => undefined);
    await eventually(() => seen.length > 0);
    t.same(seen, [id]);
  },

  async 'whoever has unsubscribed hears nothing more'(t, subject) {
    const runtime = await subject.open();
    const [quitter, stayer]: [string[], string[]] = [[], []];
    const unwatch = runtime.watch((exit) => void quitter.push(exit.id));
    runtime.watch((exit) => void stayer.push(exit.id));
    unwatch();
    unwatch();
    const { id } = await boot(runtime, subject.app({ EXIT_AT_BOOT: 'at once' }));
    await eventually(() => stayer.length > 0);
    t.same([quitter, stayer], [[], [id]]);
  },

  async 'an aborted boot rejects with the reason and leaves nothing'(t, subject) {
    const runtime = await subject.open();
    const reason = new Error('given up');
    for (const delayMs of [undefined, 0, 2, 10, 50, 150]) {
      const controller = new AbortController();
      if (delayMs === undefined) controller.abort(reason);
      else setTimeout(() => controller.abort(reason), delayMs);
      const spec = specOf(subject.app());
      const outcome = await runtime
        .boot(spec, { signal: controller.signal, onPhase: () => undefined })
        .catch((error: unknown) => error);
      if (outcome === reason) t.same(await runtime.inspect(spec.id), { state: 'gone' }, `aborted after ${delayMs} ms`);
      else t.match(outcome, { port: Number }, 'or it was faster');
      await runtime.stop(spec.id, 0);
    }
    t.same(await runtime.list(), []);
  },

  async 'a boot that cannot be rejects with a message that names the app, and leaves nothing'(t, subject) {
    const runtime = await subject.open();
    const app = { ...subject.app(), user: 'no-such-user' };
    await t.rejects(boot(runtime, app), { message: /no-such-user/ });
    t.same(await runtime.list(), []);
  },
  async 'a frozen instance stands still until it is resumed, and both may be asked for twice'(t, subject) {
    const runtime = await subject.open();
    const { suspender } = runtime;
    if (!suspender) return void t.pass('it freezes nothing');
    const { id, address } = await boot(runtime, subject.app());
    await ask(address);
    await suspender.suspend(id);
    await suspender.suspend(id);
    t.match(await runtime.list(), [{ id, running: true, paused: true }]);
    t.match(await runtime.inspect(id), { state: 'running' });
    let isAnswered = false;
    const answer = ask(address).then((body) => {
      isAnswered = true;
      return body;
    });
    // What it did meanwhile would be seen by the next handle's look.
    t.match(await (await subject.open()).list(), [{ id, paused: true }]);
    t.equal(isAnswered, false);
    await suspender.resume(id);
    await suspender.resume(id);
    t.match(await answer, { instance: id });
    t.notOk((await runtime.list())[0]?.paused);
    await suspender.suspend(id);
    await suspender.resume(id);
    t.match(await ask(address), { instance: id }, 'again and again');
  },

  async 'a frozen instance is stopped like any other: it hears SIGTERM, or is killed after its grace'(t, subject) {
    const runtime = await subject.open();
    const { suspender } = runtime;
    if (!suspender) return void t.pass('it freezes nothing');
    const [heeds, deaf] = await Promise.all([boot(runtime, subject.app()), boot(runtime, subject.deafApp())]);
    await ask(heeds.address);
    await eventually(async () => (await runtime.output(deaf.id, 1_000)).includes('deaf'));
    await suspender.suspend(heeds.id);
    await suspender.suspend(deaf.id);
    await Promise.all([runtime.stop(heeds.id, 20_000), runtime.stop(deaf.id, 300)]);
    t.same(await runtime.list(), []);
    t.same(await runtime.inspect(heeds.id), { state: 'gone' });
  },

  async 'what does not run cannot be frozen or resumed'(t, subject) {
    const { suspender } = await subject.open();
    if (!suspender) return void t.pass('it freezes nothing');
    for (const id of ['no-such-instance', '', '../../x']) {
      await t.rejects(suspender.suspend(id), Error);
      await t.rejects(suspender.resume(id), Error);
    }
  },
};

interface Booted {
  readonly id: string;
  readonly app: App;
  readonly address: Address;
}

async function boot(runtime: Runtime, app: App): Promise<Booted> {
  const spec = specOf(app);
  return { id: spec.id, app, address: await runtime.boot(spec, { ...patient(), onPhase: () => undefined }) };
}

function patient() {
  return { signal: new AbortController().signal };
}

function specOf(app: App): InstanceSpec {
  return { id: `${app.name}-${randomBytes(6).toString('hex')}`, app, revision: revisionOf(app) };
}

/** What the fixture app says of itself, once it listens. */
async function ask({ host, port }: Address): Promise<unknown> {
  const response = await eventually(() => fetch(`http://${host}:${port}/`, { headers: { connection: 'close' } }));
  return response.json();
}
