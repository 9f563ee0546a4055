import { existsSync } from 'node:fs';
import { stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { pino } from 'pino';
import { LineLog } from '../../../src/runtime/output/line-log.js';
import { printable } from '../../../src/model/printable.js';
import { lastWords } from '../../../src/runtime/output/printable.js';
import { Rate } from '../../../src/runtime/output/rate.js';
import { VirtualClock } from '../../fixtures/clock.js';
import { eventually } from '../../fixtures/eventually.js';
import { boot, shell, useProcesses } from './open-processes.js';

function useLines(linesPerSecond: number, rateOfAll = 1_000_000) {
  const log: { msg: string; output?: string }[] = [];
  const clock = new VirtualClock();
  const own = new Rate(1_000, 100_000, () => clock.monotonic());
  const all = new Rate(rateOfAll, rateOfAll, () => clock.monotonic());
  const logger = pino({ base: null }, { write: (line: string) => void log.push(JSON.parse(line)) });
  return { log, clock, lines: new LineLog({ logger, clock, linesPerSecond, rates: { own, all } }) };
}

t.test('output is cut into lines wherever it was cut before', async (t) => {
  const { log, lines } = useLines(100);
  for (const byte of Buffer.from('grün\r\n\nzwei\ndrei')) lines.write(Buffer.from([byte]));
  t.same(
    log.map(({ output }) => output),
    ['grün', 'zwei'],
  );
  lines.end();
  t.same(
    log.map(({ output }) => output),
    ['grün', 'zwei', 'drei'],
    'the last line needs no end',
  );
});

t.test('so many lines a second are logged; how many were dropped is said when it is over', async (t) => {
  const { log, clock, lines } = useLines(3);
  lines.write(Buffer.from('1\n2\n3\n4\n5\n'));
  t.equal(log.length, 3);
  await clock.advance(10_000);
  t.match(log[3]?.msg, /^2 lines of output dropped: /);
  lines.write(Buffer.from('6\n'));
  t.equal(log[4]?.output, '6');
  await clock.advance(20_000);
  t.equal(log.length, 5, 'nothing dropped, nothing said');
  lines.write(Buffer.from('a\nb\nc\nd\n'));
  lines.end();
  t.match(log.at(-1)?.msg, /^1 lines of output dropped/, 'nor is it forgotten at the end');
  t.equal(clock.pending, 0);
});

t.test('what was not read is said too, and does not join two lines', async (t) => {
  const { log, lines } = useLines(10);
  lines.write(Buffer.from('whole\nhal'));
  lines.skip(1_234);
  lines.write(Buffer.from('rest\n'));
  lines.end();
  t.same(log.map(({ output }) => output).filter(Boolean), ['whole', 'hal', 'rest']);
  t.match(log.at(-1)?.msg, /1234 bytes unread/);
});

t.test('long lines are cut, and no bytes do harm', async (t) => {
  const { log, lines } = useLines(10);
  for (let count = 0; count < 100; count += 1) lines.write(Buffer.alloc(100_000, 'x'));
  lines.write(Buffer.from('\n'));
  lines.write(Buffer.from([0, 255, 254, 27, 91, 50, 74, 0xc3, 10]));
  t.equal(log[0]?.output?.length, 2_000);
  t.match(log[1]?.output, /\[2J/);
  t.equal(log.length, 2);
});

t.test('whatever an app writes is at most twice as long in the log, and steers no terminal', async (t) => {
  const { log, lines } = useLines(1_000);
  let logged = '';
  const each = Array.from({ length: 0x3000 }, (_, code) => String.fromCodePoint(code)).filter((text) => text !== '\n');
  const texts = [
    ...each,
    '\u0000'.repeat(1_000),
    '\u009b31m\u001b]0;x\u0007',
    '"\\'.repeat(100),
    '\u202Eabc',
    'fine: ä €',
  ];
  const bytes = [
    ...texts.map((text) => Buffer.from(text)),
    ...Array.from({ length: 128 }, (_, i) => Buffer.from([128 + i])),
  ];
  for (const written of bytes) {
    const shown = printable(written.toString('utf8'));
    const size = Buffer.byteLength(JSON.stringify(shown)) - 2;
    if (size > 2 * written.length) t.fail(`${written.toString('hex')} became ${size} bytes`);
    logged += shown;
  }
  t.notMatch(logged, /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
  lines.write(
    Buffer.concat([Buffer.from([0x1b, 0x5b, 0x32, 0x4a, 0, 0x1c, 0xc2, 0x9b, 0xff]), Buffer.from(' €\tok\n')]),
  );
  t.equal(log.at(-1)?.output, '^[[2J^@^|^[[? €\tok');
  t.equal(lastWords(Buffer.from('ab\u001b[0mü'), 4), '[0mü'.slice(-3));
  t.equal(lastWords(Buffer.from('\u0000\u0000\u0000'), 3), '@^@');
});

t.test(
  'so many bytes a second are logged of one app, and of all; what was dropped is counted and said once',
  async (t) => {
    const flood = useLines(1_000_000);
    for (let count = 0; count < 2_000; count += 1) flood.lines.write(Buffer.from(`${'x'.repeat(850)}\n`));
    t.equal(flood.log.length, 100, 'a thousand bytes each, out of its burst');
    await flood.clock.advance(10_000);
    t.match(flood.log.at(-1), { droppedLines: 1_900, droppedBytes: 1_900 * 850 });
    t.equal(flood.log.length, 101);
    const among = useLines(1_000_000, 3_000);
    for (let count = 0; count < 10; count += 1) among.lines.write(Buffer.from(`${'x'.repeat(850)}\n`));
    t.equal(among.log.length, 3, 'of all');
  },
);

t.test('lines reach the log with app and instance as they are written', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const { id } = await boot(runtime, shell('echo one; sleep 0.3; echo two >&2; sleep 0.5; printf three; sleep 100'));
  const output = () => processes.log.filter((entry) => entry['output']);
  await eventually(() => output().length === 2);
  await eventually(async () => (await runtime.output(id, 100)).endsWith('three'));
  await runtime.stop(id, 1_000);
  t.match(output(), [
    { app: 'shop', instance: id, output: 'one' },
    { app: 'shop', instance: id, output: 'two' },
    { app: 'shop', instance: id, output: 'three' },
  ]);
});

const isRoot = process.getuid?.() === 0;

t.test('an app of another user opens /dev/stdout and /dev/stderr', { skip: !isRoot && 'needs root' }, async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  // As a file that is made, one that is added to, one that a child opens, and one that belongs to neither.
  const script =
    'echo out >/dev/stdout; echo err >/dev/stderr; echo more >>/dev/stderr; sh -c "echo child >/proc/self/fd/1"; ' +
    'echo tee | tee -a /dev/stderr >/dev/null; id -u; exec sleep 100';
  for (const user of ['1900000060', 'nobody', 'auto']) {
    const { id } = await boot(runtime, { ...shell(script), user, cwd: '/' });
    const words = await eventually(async () =>
      /^out\nerr\nmore\nchild\ntee\n(\d+)\n$/.exec(await runtime.output(id, 1_000)),
    );
    t.not(words?.[1], '0', `not as root but as ${user}`);
  }
});

t.test("nginx's error_log and access_log may be its output", { skip: nginxIsMissing() }, async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const config = `daemon off; worker_processes 1; pid $TMPDIR/nginx.pid; error_log /dev/stderr notice;
    events {} http { access_log /dev/stdout; ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
      .map((kind) => `${kind}_temp_path $TMPDIR/${kind};`)
      .join(' ')} server { listen $HOST:$PORT; return 200 hello; } }`;
  const script = `printf '%s' "${config}" >"$TMPDIR/nginx.conf"; exec nginx -e /dev/stderr -c "$TMPDIR/nginx.conf"`;
  const env = { PATH: `${process.env['PATH']}:/usr/sbin:/sbin` };
  const { id, address } = await boot(runtime, { ...shell(script), user: '1900000061', cwd: '/', env });
  const answer = await eventually(() => fetch(`http://127.0.0.1:${address.port}/page`));
  t.equal(await answer.text(), 'hello');
  await eventually(async () => (await runtime.output(id, 10_000)).includes('GET /page'));
  t.match(await runtime.output(id, 10_000), /\[notice\]/);
});

function nginxIsMissing(): string | false {
  if (!isRoot) return 'needs root';
  return ['/usr/sbin/nginx', '/usr/bin/nginx'].some((path) => existsSync(path)) ? false : 'nginx is not installed';
}

t.test('bytes that are no text and lines without end do no harm', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  await boot(runtime, shell('head -c 100000 /dev/urandom; seq -s, 1 40000; echo; echo after; sleep 100'));
  const outputs = () => processes.log.map((entry) => String(entry['output'] ?? ''));
  await eventually(() => outputs().includes('after') || processes.log.some(({ msg }) => /dropped/.test(String(msg))));
  // 2,000 characters of a line, and what is no text at most twice as long.
  t.ok(outputs().every((output) => output.length <= 4_000));
});

t.test('however much an app writes, its file stays small, its end is kept and the log is spared', async (t) => {
  const processes = await useProcesses(t);
  const outputMaxBytes = 64 * 1024;
  const runtime = await processes.open({ outputMaxBytes, logLinesPerSecond: 20 });
  // Its last words come when its file is small again: what is written in the very moment of a cut can be lost.
  const isSmall = `[ "$(stat -Lc %s /proc/$$/fd/1)" -le ${outputMaxBytes} ]`;
  const { id } = await boot(
    runtime,
    shell(`seq 1 3000000; until ${isSmall}; do sleep 0.01; done; echo the end; sleep 100`),
  );
  await eventually(async () => (await runtime.output(id, 100)).includes('the end'));
  const path = join(processes.stateDir, 'output', `${id}.log`);
  await eventually(async () => (await stat(path)).size <= outputMaxBytes);
  const tail = await runtime.output(id, 1_000_000);
  t.ok(tail.length <= outputMaxBytes);
  t.match(tail, /\n\d+\nthe end\n$/);
  t.match(tail, /^\d+\n/, 'from the beginning of a line');
  await eventually(() => processes.log.some(({ msg }) => /lines of output dropped/.test(String(msg))));
  t.ok(processes.log.length < 5_000);
});

t.test('an app that goes on writing is followed beyond the cut', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open({ outputMaxBytes: 4_096, logLinesPerSecond: 1_000 });
  const line = 'x'.repeat(60);
  const { id } = await boot(
    runtime,
    shell(`i=0; while [ $i -lt 200 ]; do i=$((i+1)); echo ${line} $i.; done; sleep 100`),
  );
  const seen = () => processes.log.map((entry) => String(entry['output'] ?? ''));
  await eventually(() => seen().some((output) => output.endsWith(' 200.')));
  t.same(seen().filter((output) => output.includes('xxx')).length, 200, 'each line once');
  await runtime.stop(id, 1_000);
});

t.test('the end of the output begins with a whole character and is never longer than asked for', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const { id } = await boot(runtime, shell('printf "aüüü"; sleep 100'));
  await eventually(async () => (await runtime.output(id, 100)) === 'aüüü');
  t.equal(await runtime.output(id, 3), 'ü');
  t.equal(await runtime.output(id, 0), '');
  t.equal(await runtime.output(id, -5), '');
});

t.test('output that is no file of an instance is not shown', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  await writeFile(join(processes.stateDir, 'secret.log'), 'secret');
  t.equal(await runtime.output('../secret', 100), '');
});

t.test('an app goes on writing when its dispatcher is gone, and the next follows from there', async (t) => {
  const processes = await useProcesses(t);
  const earlier = await processes.open();
  const gate = join(processes.stateDir, 'gate');
  const wait = `while [ ! -e ${gate} ]; do sleep 0.05; done`;
  const { id } = await boot(earlier, shell(`echo before; ${wait}; echo after; sleep 100`));
  await eventually(() => processes.log.some((entry) => entry['output'] === 'before'));
  await earlier.close();
  const runtime = await processes.open();
  await writeFile(gate, '');
  await eventually(() => processes.log.some((entry) => entry['output'] === 'after'));
  t.equal(await runtime.output(id, 100), 'before\nafter\n');
  t.equal(processes.log.filter((entry) => entry['output'] === 'before').length, 1);
});
