import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { eventually } from '../../fixtures/eventually.js';
import { bootScript, processes, scriptApp } from './open-runtime.js';

const idle = 'setInterval(() => {}, 1e6);';

t.test('what an app says is in the log with its name, line by line', async (t) => {
  const { open, log } = await processes(t);
  const runtime = await open();
  const { id } = await bootScript(runtime, scriptApp(`console.log('one'); console.error('two'); ${idle}`));
  const lines = await eventually(() => {
    const said = log.filter(({ msg }) => msg === 'output');
    return said.length === 2 && said;
  });
  t.match(lines, [
    { app: 'shop', instance: id, output: 'one' },
    { app: 'shop', instance: id, output: 'two' },
  ]);
});

t.test('a file stays within its size while the app writes on, and its end is kept', async (t) => {
  const { open, stateDir } = await processes(t);
  const runtime = await open({ outputMaxBytes: 64 * 1024 });
  const code = `let n = 0; const t = setInterval(() => { for (let i = 0; i < 200; i++) console.log('line ' + n++ + 'x'.repeat(80)); if (n > 20000) { clearInterval(t); setInterval(() => console.log('the end'), 50); } }, 1);`;
  const { id } = await bootScript(runtime, scriptApp(code));
  await eventually(async () => (await runtime.output(id, 100)).endsWith('the end\n'));
  await eventually(async () => (await stat(join(stateDir, 'output', `${id}.log`))).size <= 64 * 1024);
});

t.test('too many lines are left out of the log, and it says how many', async (t) => {
  const { open, log } = await processes(t);
  const runtime = await open({ logLinesPerSecond: 5 });
  const code = `for (let i = 0; i < 500; i++) console.log('line'); setInterval(() => console.log('later'), 300);`;
  await bootScript(runtime, scriptApp(code));
  await eventually(() => log.find(({ msg }) => /^\d+ lines of output dropped/.test(String(msg))));
  t.ok(log.filter(({ output }) => output === 'line').length <= 10);
});

t.test('bytes that are no text and lines without end do no harm', async (t) => {
  const { open, log } = await processes(t);
  const runtime = await open();
  const code = `process.stdout.write(Buffer.from([0, 255, 254, 10])); process.stdout.write('y'.repeat(100000) + '\\n'); console.log('after'); ${idle}`;
  await bootScript(runtime, scriptApp(code));
  await eventually(() => log.find(({ output }) => output === 'after'));
  t.ok(log.every(({ output }) => String(output ?? '').length <= 2_000));
});
