import { pino } from 'pino';
import t from 'tap';
import { MemoryGate } from '../../src/boot/memory-gate.js';
import { testApp } from '../fixtures/app.js';
import { VirtualClock } from '../fixtures/clock.js';

/** 1,000 bytes in all, 100 of which are to stay. */
function setUp(options: { floorBytes?: number | undefined; read?: () => undefined } = {}) {
  const clock = new VirtualClock();
  const waits: string[] = [];
  const asked: number[] = [];
  const memory = { totalBytes: 1_000, availableBytes: 1_000 };
  const gate = new MemoryGate({
    floorBytes: 'floorBytes' in options ? options.floorBytes : 100,
    read: options.read ?? (() => ({ ...memory })),
    relieve: async (bytes) => void asked.push(bytes),
    clock,
    logger: pino({ level: 'silent' }),
    onWait: (result) => waits.push(result),
  });
  return { gate, clock, memory, waits, asked };
}

const sized = (memoryBytes: number) => testApp({ limits: { cpuWeight: 100, memoryBytes }, bootTimeoutMs: 3_000 });

t.test('what boots counts with its limit until it is given back, once', async (t) => {
  const { gate } = setUp();
  const first = gate.reserve(sized(500));
  t.ok(first);
  t.notOk(gate.reserve(sized(500)));
  t.ok(gate.reserve(sized(400)));
  first?.();
  first?.();
  t.ok(gate.reserve(sized(500)));
  t.notOk(gate.reserve(sized(1)));
});

t.test('an app without a limit needs the floor alone', async (t) => {
  const { gate, memory } = setUp();
  memory.availableBytes = 100;
  t.ok(gate.reserve(testApp()));
  memory.availableBytes = 99;
  t.notOk(gate.reserve(testApp()));
});

t.test('without a floor, or where the system does not tell, every boot fits', async (t) => {
  t.ok(setUp({ floorBytes: undefined }).gate.reserve(sized(5_000)));
  t.ok(setUp({ read: () => undefined }).gate.reserve(sized(5_000)));
});

t.test('a boot that waits asks for room and goes on once there is some', async (t) => {
  const { gate, clock, memory, waits, asked } = setUp();
  memory.availableBytes = 200;
  const waiting = gate.wait(sized(300), () => true);
  await clock.advance(1_100);
  t.same(asked, [400, 400, 400]);
  memory.availableBytes = 400;
  await clock.advance(500);
  t.equal(await waiting, true);
  t.same(waits, ['fits']);
  t.equal(clock.pending, 0);
});

t.test('it fails after its bootTimeout, and is dropped where nobody needs it any more', async (t) => {
  const { gate, clock, memory, waits } = setUp();
  memory.availableBytes = 0;
  const failing = t.rejects(
    gate.wait(sized(1), () => true),
    { code: 'boot_failed', retryAfterS: 10, message: /memory/ },
  );
  let wanted = true;
  const dropped = gate.wait(sized(1), () => wanted);
  await clock.advance(1_000);
  wanted = false;
  await clock.advance(2_500);
  await failing;
  t.equal(await dropped, false);
  t.same(waits, ['dropped', 'refused']);
});

t.test('what the machine can never hold is refused at once, and nothing is ended for it', async (t) => {
  const { gate, memory, asked } = setUp();
  memory.availableBytes = 0;
  await t.rejects(
    gate.wait(sized(901), () => true),
    { code: 'boot_failed' },
  );
  t.same(asked, []);
});
