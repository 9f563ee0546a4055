import { Writable } from 'node:stream';
import { pino } from 'pino';
import t from 'tap';
import { UnreadableRecords } from '../../src/telemetry/unreadable-records.js';

function recorded(most?: number) {
  const lines: string[] = [];
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      lines.push((JSON.parse(chunk.toString()) as { msg: string }).msg);
      done();
    },
  });
  const forged: string[] = [];
  const options = { logger: pino(sink), onForgedApp: (app: string) => forged.push(app), ...(most && { most }) };
  return { lines, forged, records: new UnreadableRecords(options) };
}

t.test(
  'a record that cannot be read is logged once, however often it is read, and once more when it can be',
  async (t) => {
    const { lines, forged, records } = recorded();
    t.equal(records.summary, undefined);
    for (let read = 0; read < 3; read += 1) records.report('app shop', 'it is not signed', true);
    t.equal(lines.length, 1);
    t.match(lines[0], /^app shop: .*it is not signed/);
    t.match(records.summary, /app shop/);
    records.report('deployment shop', 'it has the wrong shape');
    t.same([records.count, lines.length], [2, 2]);
    t.match(records.summary, /app shop and 1 more/);
    t.same(forged, ['shop']);
    records.report('app shop', undefined);
    records.report('app unknown', undefined);
    t.same([records.count, lines.length], [1, 3]);
  },
);

t.test('who forges as many as he likes fills neither the log nor the memory', async (t) => {
  const { lines, records } = recorded(10);
  for (let index = 0; index < 1_000; index += 1) records.report(`app a${index}`, 'it is not signed', true);
  t.same([records.count, lines.length], [10, 11]);
});
