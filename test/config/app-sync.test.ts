import { pino } from 'pino';
import t from 'tap';
import type { Conflict } from '../../src/cmdb/cmdb.js';
import type { AppFiles } from '../../src/config/apply-apps.js';
import { AppSync } from '../../src/config/app-sync.js';
import { RequestError } from '../../src/model/errors.js';
import { VirtualClock } from '../fixtures/clock.js';

/** An applier whose calls end when the test says so. */
function setUp() {
  const clock = new VirtualClock();
  const calls: { files: AppFiles; succeed(): void; fail(error: Error): void }[] = [];
  const applied: (string | undefined)[] = [];
  const sync = new AppSync({
    applier: {
      withheld: undefined,
      apply: (files) =>
        new Promise<Conflict[]>((resolve, fail) => calls.push({ files, succeed: () => resolve([]), fail })),
    },
    identity: () => 'store',
    onApplied: (identity) => void applied.push(identity),
    clock,
    logger: pino({ level: 'silent' }),
  });
  return { clock, calls, applied, sync };
}

const filesOf = (file: string) => ({ file, apps: [] }) as unknown as AppFiles;
const away = () => new RequestError('cmdb_unavailable');

t.test('what could not be written is tried again until the store takes it', async (t) => {
  const { clock, calls, applied, sync } = setUp();
  void sync.apply(filesOf('one'));
  await clock.advance(0);
  calls[0]!.fail(away());
  await clock.advance(1_000);
  calls[1]!.succeed();
  await clock.advance(10_000);
  t.same(
    calls.map(({ files }) => files.file),
    ['one', 'one'],
  );
  t.equal(applied.at(-1), 'store');
  t.equal(sync.isApplied, true);
});

t.test('older files never come back over newer ones, also if their attempt fails later', async (t) => {
  for (const isNewerAway of [false, true]) {
    const { clock, calls, applied, sync } = setUp();
    void sync.apply(filesOf('older'));
    await clock.advance(0);
    void sync.apply(filesOf('newer'));
    calls[0]!.fail(away());
    await clock.advance(0);
    if (isNewerAway) {
      calls[1]!.fail(away());
      await clock.advance(1_000);
    }
    calls.at(-1)?.succeed();
    await clock.advance(10_000);
    const asked = calls.map(({ files }) => files.file);
    t.same(asked, isNewerAway ? ['older', 'newer', 'newer'] : ['older', 'newer']);
    t.equal(applied.at(-1), 'store');
    t.equal(sync.isApplied, true);
  }
});
