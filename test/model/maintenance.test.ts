import t from 'tap';
import { emptyDeployment } from '../../src/model/deployment.js';
import { maintenanceError, maintenanceOf, orderMaintenance } from '../../src/model/maintenance.js';
import { testApp } from '../fixtures/app.js';

const off = testApp().maintenance;
const order = { mode: 'page', retryAfterMs: 1_500, limitMs: 30_000, by: 'panel', since: 5 } as const;

t.test('what an operator ordered counts, else what the app says', async (t) => {
  const said = testApp({ maintenance: { ...off, mode: 'hold' } });
  const none = emptyDeployment('shop');
  t.equal(maintenanceOf(testApp(), none), undefined);
  t.match(maintenanceOf(said, none), { mode: 'hold' });
  t.match(maintenanceOf(said, orderMaintenance(none, order)), { mode: 'page' });
  t.equal(maintenanceOf(said, orderMaintenance(none, { ...order, mode: 'off' })), undefined, 'off is an order, too');
  t.match(maintenanceOf(said, orderMaintenance(orderMaintenance(none, order), undefined)), { mode: 'hold' });
});

t.test('its answer says when to come back, and shows the text to the public', async (t) => {
  t.match(maintenanceError({ ...order, text: 'Back at six.' }), {
    code: 'maintenance',
    status: 503,
    retryAfterS: 2,
    publicDetail: 'Back at six.',
  });
  t.equal(maintenanceError(order).publicDetail, undefined);
});
