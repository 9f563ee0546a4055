import { spawn } from 'node:child_process';
import { once } from 'node:events';
import t from 'tap';
import { isProvedDead } from '../../src/membership/process-proof.js';
import type { Session } from '../../src/cmdb/cmdb.js';
import { identify, pidNamespace } from '../../src/machine/proc-fs.js';

if (process.platform !== 'linux') t.plan(0, 'only Linux tells when a process began');

t.test('a process on this machine is proved dead when it has ended, not before', async (t) => {
  const { session, end } = await running();
  t.equal(isProvedDead(session, 'here'), false);
  await end();
  t.equal(isProvedDead(session, 'here'), true);
  t.equal(isProvedDead(session, 'elsewhere'), false, 'nothing is known of another machine');
});

t.test('one that lived before the machine was restarted is dead, in whichever container', async (t) => {
  const { session, end } = await running({ bootId: 'before', pidNamespace: 'pid:[1]' });
  t.teardown(end);
  t.equal(isProvedDead(session, 'here'), true);
});

t.test('nothing is proved by a pid of another container, or where its namespace is not known', async (t) => {
  const other = await running({ pidNamespace: 'pid:[1]' });
  await other.end();
  t.equal(isProvedDead(other.session, 'here'), false);
  const { pidNamespace: _, ...unknown } = other.session.process;
  t.equal(isProvedDead({ ...other.session, process: unknown }, 'here'), false);
});

/** The session of a real process. */
async function running(changes: object = {}): Promise<{ session: Session; end(): Promise<void> }> {
  const child = spawn('cat', { stdio: ['pipe', 'ignore', 'ignore'] });
  await once(child, 'spawn');
  const identity = { ...identify(child.pid ?? 0), pidNamespace: pidNamespace(), ...changes };
  return {
    session: { incarnation: 'a', host: 'here', beats: 1, process: identity },
    async end() {
      child.stdin.end();
      await once(child, 'exit');
    },
  };
}
