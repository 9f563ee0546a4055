import fc from 'fast-check';
import t from 'tap';
import { FrameScanner, goingAway } from '../../src/forward/frames.js';

function frame(opcode: number, payload: Buffer, masked: boolean): Buffer {
  const length = payload.length;
  const size =
    length < 126
      ? [length]
      : length < 65_536
        ? [126, length >> 8, length & 255]
        : [127, 0, 0, 0, 0, 0, length >> 16, (length >> 8) & 255, length & 255];
  const header = Buffer.from([0x80 | opcode, (size[0] ?? 0) | (masked ? 0x80 : 0), ...size.slice(1)]);
  return Buffer.concat([header, masked ? Buffer.from([1, 2, 3, 4]) : Buffer.alloc(0), payload]);
}

t.test('data frames are activity, control frames are not', async (t) => {
  for (const [opcode, isData] of [
    [0, true],
    [1, true],
    [2, true],
    [8, false],
    [9, false],
    [10, false],
  ] as const) {
    for (const masked of [true, false]) {
      const { data, atBoundary } = new FrameScanner().scan(frame(opcode, Buffer.from('hi'), masked));
      t.equal(data, isData, `opcode ${opcode}`);
      t.ok(atBoundary);
    }
  }
});

t.test('however frames are cut into chunks, the stream reads the same', async () => {
  const frames = fc.array(
    fc.record({
      opcode: fc.constantFrom(0, 1, 2, 8, 9, 10),
      length: fc.oneof(fc.nat(130), fc.constantFrom(125, 126, 127, 65_535, 65_536, 70_000)),
      masked: fc.boolean(),
    }),
    { minLength: 1, maxLength: 6 },
  );
  fc.assert(
    fc.property(frames, fc.array(fc.nat(200_000), { maxLength: 20 }), (specs, cuts) => {
      const parts = specs.map(({ opcode, length, masked }) => frame(opcode, Buffer.alloc(length), masked));
      const bytes = Buffer.concat(parts);
      const ends = new Set<number>([0]);
      let end = 0;
      for (const part of parts) ends.add((end += part.length));
      const scanner = new FrameScanner();
      const points = [...new Set(cuts.map((cut) => cut % bytes.length)), bytes.length].toSorted((a, b) => a - b);
      let from = 0;
      let sawData = false;
      for (const point of points) {
        if (point === from) continue;
        const { data, atBoundary } = scanner.scan(bytes.subarray(from, point));
        sawData ||= data;
        if (atBoundary !== ends.has(point)) return false;
        from = point;
      }
      return sawData === specs.some(({ opcode }) => opcode < 8);
    }),
    { numRuns: 500 },
  );
});

t.test('garbage is read without harm', async () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 20 }), (chunks) => {
      const scanner = new FrameScanner();
      for (const chunk of chunks) scanner.scan(chunk);
    }),
  );
});

t.test('going away is a close frame with code 1001', async (t) => {
  t.same([...goingAway(false)], [0x88, 2, 3, 0xe9]);
  t.same([...goingAway(true)], [0x88, 0x82, 0, 0, 0, 0, 3, 0xe9]);
});
