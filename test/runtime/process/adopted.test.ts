import { spawn } from 'node:child_process';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { identify, type ProcessIdentity } from '../../../src/proc-fs.js';
import { Adopted } from '../../../src/runtime/process/adopted.js';
import type { ProcessRecord } from '../../../src/runtime/process/records.js';
import { VirtualClock } from '../../fixtures/clock.js';
import { eventually } from '../../fixtures/eventually.js';

function setUp(onAlive: (id: string) => void = () => {}) {
  const clock = new VirtualClock();
  const dead: string[] = [];
  const adopted = new Adopted({ clock, onDeath: ({ id }) => void dead.push(id), onAlive: ({ id }) => onAlive(id) });
  return { clock, dead, adopted };
}

function recordOf(id: string, process_: ProcessIdentity): ProcessRecord {
  const self = identify(process.pid);
  const basis = { v: 1, app: 'shop', revision: 'r', cmdb: 'test', host: '127.0.0.1', port: 1, booter: self } as const;
  return { ...basis, id, process: process_ };
}

function sleeper(t: Test) {
  const child = spawn('sleep', ['100'], { stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  return { identity: identify(child.pid ?? 0), kill: () => child.kill('SIGKILL'), exited: once(child, 'exit') };
}

t.test('one that ends is found within a second, and told once', async (t) => {
  const { clock, dead, adopted } = setUp();
  const [first, second] = [sleeper(t), sleeper(t)];
  adopted.add(recordOf('first', first.identity));
  adopted.add(recordOf('second', second.identity));
  await clock.advance(10_000);
  t.same(dead, []);
  first.kill();
  await first.exited;
  await clock.advance(1_000);
  t.same(dead, ['first']);
  t.notOk(adopted.has('first'));
  await clock.advance(10_000);
  t.same(dead, ['first']);
});

t.test('each that lives is looked at closely every five seconds, and at once when asked for', async (t) => {
  const looks: string[] = [];
  const { clock, adopted } = setUp((id) => void looks.push(id));
  adopted.add(recordOf('first', sleeper(t).identity));
  adopted.add(recordOf('second', sleeper(t).identity));
  await clock.advance(5_000);
  t.same(looks.toSorted(), ['first', 'second']);
  adopted.look('first');
  adopted.look('unknown');
  t.equal(looks.length, 3);
});

t.test('a pid that is another process by now is dead within five seconds', async (t) => {
  const { clock, dead, adopted } = setUp();
  adopted.add(recordOf('reused', { ...identify(process.pid), startTime: '1' }));
  await clock.advance(5_000);
  t.same(dead, ['reused']);
});

t.test('so is a zombie that nobody reaps', async (t) => {
  const { clock, dead, adopted } = setUp();
  const parent = spawn('/bin/sh', ['-c', 'sleep 0.3 & echo $!; exec sleep 100'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.teardown(() => parent.kill('SIGKILL'));
  const [text] = (await once(parent.stdout, 'data')) as [Buffer];
  const child = identify(Number(text));
  adopted.add(recordOf('zombie', child));
  await eventually(() => identify(child.pid).startTime === '');
  t.ok(process.kill(child.pid, 0), 'the kernel still knows it');
  await clock.advance(5_000);
  t.same(dead, ['zombie']);
});

t.test('what is forgotten is not told of, and nothing is looked at when there is nothing', async (t) => {
  const { clock, dead, adopted } = setUp();
  const child = sleeper(t);
  adopted.add(recordOf('stopped', child.identity));
  adopted.add(recordOf('left', sleeper(t).identity));
  adopted.delete('stopped');
  child.kill();
  await child.exited;
  await clock.advance(5_000);
  t.same(dead, []);
  adopted.delete('left');
  await clock.advance(1_000);
  t.equal(clock.pending, 0);
  adopted.add(recordOf('again', sleeper(t).identity));
  t.equal(clock.pending, 1);
  adopted.close();
  t.equal(clock.pending, 0);
});

t.test('thousands are looked at a few in a turn of the event loop', async (t) => {
  let looks = 0;
  let most = 0;
  const { clock, adopted } = setUp(() => void (looks += 1));
  const self = identify(process.pid);
  for (let count = 0; count < 2_000; count += 1) adopted.add(recordOf(`app-${count}`, self));
  let seen = 0;
  let isDone = false;
  const spin = () => {
    most = Math.max(most, looks - seen);
    seen = looks;
    if (!isDone) setImmediate(spin);
  };
  spin();
  await eventually(async () => {
    await clock.advance(1_000);
    return looks >= 2_000;
  });
  isDone = true;
  t.ok(most <= 32, `${most} at once`);
  adopted.close();
});
