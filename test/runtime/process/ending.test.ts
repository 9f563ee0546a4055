import t from 'tap';
import { statOf } from '../../../src/machine/proc-fs.js';
import type { Runtime } from '../../../src/runtime/runtime.js';
import { eventually } from '../../fixtures/eventually.js';
import { boot, shell, useProcesses } from './open-processes.js';
import { readRecord } from './record-file.js';

/** The process ids that an app has written, once there are `count`. */
async function pidsIn(runtime: Runtime, id: string, count: number): Promise<number[]> {
  return eventually(async () => {
    const pids = (await runtime.output(id, 10_000)).match(/\bpid (\d+)\n/g)?.map((line) => parseInt(line.slice(4), 10));
    return pids?.length === count ? pids : undefined;
  }) as Promise<number[]>;
}

const inGroup = 'sleep 100 & echo pid $!; ';
const inSession = `setsid sh -c 'echo pid $$; exec sleep 100' & `;
const bareInSession = `env -i setsid sh -c 'echo pid $$; exec sleep 100' & `;
const orphan = `(setsid sh -c 'echo pid $$; exec sleep 100' &) ; `;

t.test('a graceful stop lets the app finish, and kills what it leaves wherever that went', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  // Its children ignore SIGTERM or never see it.
  const script = `${inGroup}${inSession}${bareInSession}${orphan} wait`;
  const { id } = await boot(runtime, shell(script));
  const pids = await pidsIn(runtime, id, 4);
  t.ok(pids.every((pid) => statOf(pid)));
  await runtime.stop(id, 5_000);
  t.same(
    pids.filter((pid) => statOf(pid)),
    [],
  );
  t.same(await processes.traces(), []);
});

t.test('an app that ignores SIGTERM is killed with all it started', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const { id } = await boot(runtime, shell(`trap '' TERM; ${inGroup}${inSession}${bareInSession}${orphan} wait`));
  const pids = await pidsIn(runtime, id, 4);
  await runtime.stop(id, 100);
  t.same(
    pids.filter((pid) => statOf(pid)),
    [],
  );
});

t.test('an app behind a shell has its whole grace, though the shell ends at once', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const app = `process.on('SIGTERM', () => setTimeout(() => { console.log('saved'); process.exit(0); }, 300));
    setInterval(() => {}, 1000); console.log('pid ' + process.pid);`;
  const { id } = await boot(runtime, shell(`'${process.execPath}' -e "${app}"; echo never`));
  await pidsIn(runtime, id, 1);
  await runtime.stop(id, 10_000);
  t.match(processes.log, [{ output: /pid/ }, { output: 'saved', app: 'shop', instance: id }]);
});

t.test('an instance is its main process: what that leaves behind is killed at once', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const exits: string[] = [];
  runtime.watch(({ id, cause }) => void exits.push(`${id} ${cause}`));
  const script = `env -i sh -c 'echo pid $$; exec sleep 100' & ${inGroup}${orphan} sleep 0.5; exit 7`;
  const { id } = await boot(runtime, shell(script));
  const pids = await pidsIn(runtime, id, 3);
  await eventually(() => pids.every((pid) => !statOf(pid)));
  t.same(exits, [`${id} exit code 7`]);
  t.match(await runtime.inspect(id), { state: 'exited', cause: 'exit code 7' });
});

t.test('so is what is left by an app that an earlier dispatcher started', async (t) => {
  const processes = await useProcesses(t);
  const earlier = await processes.open();
  const { id } = await boot(earlier, shell(`env -i sh -c 'echo pid $$; exec sleep 100' & ${orphan} sleep 1000`));
  const pids = await pidsIn(earlier, id, 2);
  const main = (await readRecord(processes.stateDir, id)).process?.pid ?? 0;
  await earlier.close();
  const exits: string[] = [];
  const runtime = await processes.open();
  runtime.watch(({ id }) => void exits.push(id));
  process.kill(main, 'SIGKILL');
  await eventually(() => pids.every((pid) => !statOf(pid)) && exits.length > 0);
  t.same(exits, [id]);
});
