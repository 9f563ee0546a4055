import t from 'tap';
import { allProcesses, forEachProcess } from '../../src/machine/proc-fs.js';

t.test('of many processes few are read at a time, and all of them in order', async (t) => {
  let open = 0;
  let most = 0;
  const pids = Array.from({ length: 500 }, (_, index) => index);
  const read = await forEachProcess(pids, async (pid) => {
    open += 1;
    most = Math.max(most, open);
    await new Promise((resolve) => setImmediate(resolve));
    open -= 1;
    return pid;
  });
  t.same(read, pids);
  t.equal(most, 16, 'a file descriptor for each at once could use them up');
});

t.test('this process is among those that run', async (t) => {
  t.match(
    (await allProcesses()).find(({ pid }) => pid === process.pid),
    { parent: process.ppid },
  );
});
