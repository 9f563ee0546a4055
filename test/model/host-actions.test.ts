import t from 'tap';
import { type Deployment, startDrain } from '../../src/model/deployment.js';
import { hostsToAct } from '../../src/model/host-actions.js';
import { registerUser, releaseUser } from '../../src/model/users.js';
import { testDeployment, testInstance } from '../fixtures/deployment.js';

t.test('the machine of a draining instance has to act once nobody uses it any more', async (t) => {
  const [known] = testDeployment({ host: 'web2' }).instances;
  const used = registerUser(testDeployment({ host: 'web2' }), known?.id ?? '', 'me', 0);
  const draining = startDrain(used, known?.id ?? '', 'idle', 1);
  t.same(hostsToAct(used), []);
  t.same(hostsToAct(draining), []);
  t.same(hostsToAct(releaseUser(draining, known?.id ?? '', 'me', 2)), ['web2']);
});

t.test('each machine is named once, however many of its instances end', async (t) => {
  const instances = ['web1', 'web2', 'web1'].map((host, index) => testInstance({ id: `shop-${index}`, host }));
  const ready: Deployment = { ...testDeployment({}), instances };
  const ending = instances.reduce((next, { id }) => startDrain(next, id, 'app_removed', 1), ready);
  t.same(hostsToAct(ending), ['web1', 'web2']);
});

t.test('the machine that is asked for a boot has to act until it is taken up', async (t) => {
  const asked = testDeployment({ state: 'booting', host: 'web2', askedBy: 'me' });
  t.same(hostsToAct(asked), ['web2']);
  t.same(hostsToAct(testDeployment({ state: 'booting', host: 'web2', askedBy: 'me', owner: 'web2-1' })), []);
});
