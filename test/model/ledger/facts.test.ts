import t from 'tap';
import {
  bootFailed,
  bootRefused,
  bootSucceeded,
  claimBoot,
  confirmGone,
  type Deployment,
  emptyDeployment,
  giveUp,
  instanceDied,
  startDrain,
  startTerminate,
  withInstance,
} from '../../../src/model/deployment.js';
import { takeBoot } from '../../../src/model/asked-boot.js';
import { factsOf } from '../../../src/model/ledger/facts.js';
import { orderMaintenance } from '../../../src/model/maintenance.js';
import { restartInstances, stopInstances, wake } from '../../../src/model/operations.js';
import { paused, resumed, settleSuspension, startPause, startResume } from '../../../src/model/suspension.js';
import { claimUpkeep } from '../../../src/model/upkeep.js';
import { quietUser, registerUser } from '../../../src/model/users.js';
import { testApp } from '../../fixtures/app.js';
import { testDeployment } from '../../fixtures/deployment.js';

const app = testApp({ scale: { min: 0, max: 2 } });
const claim = { id: 'shop-1', host: 'here', owner: 'me' };
const termination = { owner: 'me', reason: 'idle', stopTimeoutMs: 1 } as const;
const failure = { code: 'boot_timeout', message: 'nothing listens' } as const;
const ready = testDeployment({ users: { me: { since: 0 } } });
const booting = claimBoot(emptyDeployment('shop'), app, claim, 1);
const draining = startDrain(testDeployment({}), 'shop-1', 'memory', 1);
const terminating = startTerminate(draining, 'shop-1', termination, 2);
const pausing = startPause(testDeployment({}), 'shop-1', { ...app, pauseAfterMs: 1 }, { owner: 'me' }, 1);
const asleep = paused(pausing, 'shop-1', 'me');
const resuming = startResume(asleep, 'shop-1', { owner: 'me' }, 3);
const address = { host: '127.0.0.1', port: 1 };
const order = { ...app.maintenance, mode: 'page', by: 'panel', since: 1 } as const;

/** By what happened: before, the change, and the facts of it as `kind cause instance`. */
const changes: Readonly<Record<string, readonly [Deployment, (before: Deployment) => Deployment, string[]]>> = {
  nothing: [ready, (d) => d, []],
  'a pause': [pausing, (d) => paused(d, 'shop-1', 'me'), ['paused - shop-1']],
  'a pause that begins': [testDeployment({}), () => pausing, []],
  'a resume': [resuming, (d) => resumed(d, 'shop-1', { owner: 'me', user: 'me' }, 4), ['resumed - shop-1']],
  'a resume that its node left': [resuming, (d) => settleSuspension(d, 'shop-1', () => true, 4), []],
  'the end of what is paused': [asleep, (d) => startDrain(d, 'shop-1', 'idle', 5), ['draining idle shop-1']],
  'a copy': [ready, (d) => ({ ...d, instances: [...d.instances] }), []],
  'a first boot': [emptyDeployment('shop'), () => booting, ['booting request shop-1']],
  'a boot for load': [ready, (d) => claimBoot(d, app, { ...claim, id: 'shop-2' }, 1), ['booting load shop-2']],
  'a boot for scale.min': [
    emptyDeployment('shop'),
    (d) => claimUpkeep(d, { ...app, scale: { min: 1, max: 2 } }, { kind: 'fill' }, claim, 1),
    ['booting minimum shop-1'],
  ],
  'an operator wakes it': [emptyDeployment('shop'), (d) => wake(d, app, claim, 1), ['booting operator shop-1']],
  'a claim is taken up': [
    claimBoot(emptyDeployment('shop'), app, { id: 'shop-1', host: 'here' }, 1),
    (d) => takeBoot(d, app, 'shop-1', claim, 2),
    [],
  ],
  'a boot succeeds': [
    booting,
    (d) => bootSucceeded(d, 'shop-1', { address, boot: {}, user: 'me' }, 2),
    ['ready - shop-1'],
  ],
  'a boot succeeds that was stopped meanwhile': [
    stopInstances(booting, 2),
    (d) => bootSucceeded(d, 'shop-1', { address, boot: {}, user: 'me' }, 2),
    ['ready - shop-1', 'draining stopped shop-1'],
  ],
  'a boot fails': [
    booting,
    (d) => bootFailed(d, 'shop-1', failure, { ...termination, reason: 'boot_failed' }, 2),
    ['failed boot_timeout shop-1'],
  ],
  'a boot is refused': [booting, (d) => bootRefused(d, 'shop-1', failure, 2), ['failed boot_timeout shop-1']],
  'a boot is broken off': [
    booting,
    (d) => startTerminate(d, 'shop-1', { ...termination, reason: 'stopped' }, 2),
    ['terminating stopped shop-1'],
  ],
  'a claim is withdrawn': [booting, (d) => confirmGone(d, 'shop-1'), ['ended withdrawn shop-1']],
  'a drain': [ready, (d) => startDrain(d, 'shop-1', 'idle', 1), ['draining idle shop-1']],
  'an end begins': [draining, (d) => startTerminate(d, 'shop-1', termination, 2), ['terminating memory shop-1']],
  'an end is taken over': [terminating, (d) => startTerminate(d, 'shop-1', { ...termination, owner: 'you' }, 3), []],
  'an end': [terminating, (d) => confirmGone(d, 'shop-1'), ['ended memory shop-1']],
  'it dies while it ends': [terminating, (d) => instanceDied(d, 'shop-1', 'x', 3), ['ended memory shop-1']],
  'it dies': [ready, (d) => instanceDied(d, 'shop-1', 'exit code 1', 3), ['exited - shop-1']],
  'it is given up': [ready, (d) => giveUp(d, 'shop-1', 3), ['lost - shop-1']],
  uses: [testDeployment({}), (d) => registerUser(d, 'shop-1', 'me', 1), []],
  'a quiet use': [ready, (d) => quietUser(d, 'shop-1', 'me', 1), []],
  'another time of activity': [ready, (d) => withInstance(d, 'shop-1', (i) => ({ ...i, lastActiveAt: 9 })), []],
  'an order to restart': [ready, (d) => restartInstances(d, 1), ['restart - shop-1']],
  'an order to restart again': [restartInstances(ready, 1), (d) => restartInstances(d, 2), []],
  maintenance: [ready, (d) => orderMaintenance(d, order), ['maintenance page -']],
  'maintenance that is so already': [orderMaintenance(ready, order), (d) => orderMaintenance(d, { ...order }), []],
  'maintenance as the app says': [
    orderMaintenance(ready, order),
    (d) => orderMaintenance(d, undefined),
    ['maintenance app -'],
  ],
};

for (const [what, [before, change, expected]] of Object.entries(changes)) {
  t.test(`the facts of: ${what}`, async (t) => {
    const note = what === 'it dies' ? { exit: 'exit code 1' } : {};
    const facts = factsOf(before, change(before), note);
    t.same(
      facts.map(({ kind, cause, instance }) => `${kind} ${cause ?? '-'} ${instance?.id ?? '-'}`),
      expected,
    );
  });
}

t.test('a replacement that becomes ready drains the one before it', async (t) => {
  const old = testDeployment({ revision: 'old', users: { me: { since: 0 } } });
  const upkeep = { kind: 'replace', id: 'shop-1', reason: 'revision' } as const;
  const both = claimUpkeep(old, app, upkeep, { ...claim, id: 'shop-2' }, 1);
  t.match(factsOf(old, both), [{ kind: 'booting', cause: 'revision', instance: { replaces: { id: 'shop-1' } } }]);
  const next = bootSucceeded(both, 'shop-2', { address, boot: {}, user: 'me' }, 2);
  t.match(factsOf(both, next), [
    { kind: 'draining', cause: 'revision', instance: { id: 'shop-1' } },
    { kind: 'ready', instance: { id: 'shop-2' } },
  ]);
});
