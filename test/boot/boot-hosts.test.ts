import t from 'tap';
import { BootHosts } from '../../src/boot/boot-hosts.js';
import { testApp } from '../fixtures/app.js';
import { testDeployment } from '../fixtures/deployment.js';

const app = testApp({ mounts: [{ source: '/srv/shop', target: '/data', readOnly: false, shared: false }] });
const pinned = { ...testDeployment(), pinnedTo: { host: 'a', sources: ['/srv/shop'] } };
const shop = { name: 'shop', app, deployment: pinned };

function hosts(host: string, live = true, overrides: object = {}): BootHosts {
  return new BootHosts({
    peers: { isHostLive: () => live, isSeen: () => live, rival: undefined, ...overrides },
    host,
    pins: true,
  });
}

t.test('a pinned app boots on its own machine, and is asked for there from elsewhere', async (t) => {
  t.equal(hosts('a').of(shop), undefined);
  t.same(hosts('b').of(shop), { host: 'a' });
});

t.test('a machine without a live node is named, with what to do', async (t) => {
  t.match(hosts('b', false).of(shop), {
    host: 'a',
    problem: { message: /on the machine a, where no dispatcher runs/, cause: /start it there, or move the app/ },
  });
});

t.test('a machine whose name another one has as well boots nothing that is pinned to it', async (t) => {
  t.match(hosts('a', true, { rival: { bootId: 'x', pid: 1 } }).of(shop), { problem: { cause: /same node.host/ } });
});

t.test('an app without local mounts, and one machine, know no pins', async (t) => {
  t.equal(hosts('b').of({ ...shop, app: testApp() }), undefined);
  const single = new BootHosts({
    peers: { isHostLive: () => false, isSeen: () => false, rival: undefined },
    host: 'b',
    pins: false,
  });
  t.equal(single.of(shop), undefined);
});
