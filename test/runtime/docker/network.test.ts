import { randomBytes } from 'node:crypto';
import t, { type Test } from 'tap';
import { useDocker } from '../../fixtures/docker.js';
import { containerName } from '../../../src/runtime/docker/labels.js';
import { testImage } from '../../fixtures/docker-image.js';
import { eventually } from '../../fixtures/eventually.js';
import { type Booted, bootApp, dockerApp, openRuntime } from './open-runtime.js';

t.test('network', async (t) => {
  const engine = await useDocker(t);
  if (!engine) return;
  const { docker } = engine;
  const image = await testImage(docker, 'busybox');
  const app = dockerApp({ image });

  const subnetOf = async (network: string) =>
    (await docker.getNetwork(network).inspect()).IPAM?.Config?.[0]?.Subnet ?? '';
  const reaches = async ({ address }: Booted) => (await fetch(`http://${address.host}:${address.port}/`)).ok;
  const makeNetwork = async (t: Test, name: string, more: object = {}) => {
    await docker.createNetwork({ Name: name, Driver: 'bridge', ...more });
    t.teardown(() =>
      docker
        .getNetwork(name)
        .remove()
        .catch(() => undefined),
    );
  };

  /** One that no network has at the moment. */
  const freeSubnet = async () => {
    const name = `free-${randomBytes(4).toString('hex')}`;
    await docker.createNetwork({ Name: name, Driver: 'bridge' });
    const subnet = await subnetOf(name);
    await docker.getNetwork(name).remove();
    return subnet;
  };

  t.test('neighbours cannot connect to each other, while the host reaches both, nor learn of each other', async (t) => {
    const { runtime, network } = openRuntime(t, engine);
    const [first, second] = await Promise.all([bootApp(runtime, app), bootApp(runtime, app)]);
    await eventually(() => reaches(first));
    await eventually(() => reaches(second));
    const probe = async (from: Booted, to: string) => {
      return (await docker.getContainer(containerName(from.id)).exec(['sh', '-c', `nc -w 2 ${to} 8080 </dev/null`]))
        .exitCode;
    };
    const [itself, there, back] = await Promise.all([
      probe(first, '127.0.0.1'),
      probe(first, second.address.host),
      probe(second, first.address.host),
    ]);
    t.equal(itself, 0, 'the probe itself works');
    t.not(there, 0);
    t.not(back, 0);
    const found = await docker.getNetwork(network).inspect();
    t.match(found, { Driver: 'bridge', Options: { 'com.docker.network.bridge.enable_icc': 'false' } });
    t.match(Object.keys(found.Labels ?? {}), ['fastcontainer.cmdb']);
    const container = docker.getContainer(containerName(first.id));
    const { output } = await container.exec(['nslookup', second.address.host, '127.0.0.11']);
    t.match(output, containerName(second.id), "Docker's name server tells a name");
    t.notMatch(output, /shop/, 'which says nothing');
    const byId = await container.exec(['nslookup', second.id, '127.0.0.11']);
    t.notMatch(byId.output, second.address.host, 'an instance cannot be looked up by its id');
  });

  t.test('many boots at once, of two dispatchers, make one network and share its addresses', async (t) => {
    const { runtime, reopen, network } = openRuntime(t, engine);
    const other = reopen();
    const booted = await Promise.all(Array.from({ length: 6 }, (_, i) => bootApp(i % 2 ? runtime : other, app)));
    t.equal(new Set(booted.map(({ address }) => address.host)).size, 6);
    const named = await docker.listNetworks({ filters: { name: [network] } });
    t.same(
      named.map(({ Name }) => Name),
      [network],
      'one network, and no probe is left',
    );
  });

  t.test('an address that another dispatcher was faster to take is passed over', async (t) => {
    // A /29 has five addresses for containers: by and by each free one is taken behind the back of the first handle.
    const small = `small-${randomBytes(4).toString('hex')}`;
    const subnet = (await freeSubnet()).replace(/\.0\/\d+$/, '.0/29');
    const two = openRuntime(t, engine, { network: small, subnet });
    const first = await bootApp(two.runtime, app);
    const others: Booted[] = [];
    const second = two.reopen();
    for (let i = 0; i < 3; i += 1) others.push(await bootApp(second, app));
    const last = await bootApp(two.runtime, app);
    t.equal(new Set([first, ...others, last].map(({ address }) => address.host)).size, 5);
    await t.rejects(bootApp(two.runtime, app), { message: /network small-.* has no free address/ });
    await two.runtime.stop(last.id, 0);
    await t.rejects(
      bootApp(two.runtime, app),
      { message: /rests for 60 s/ },
      'a freed address is not given out at once',
    );
  });

  t.test('an existing network with open traffic between containers is refused, with what to do', async (t) => {
    const { runtime, network } = openRuntime(t, engine);
    await makeNetwork(t, network);
    await t.rejects(bootApp(runtime, app), {
      message: /lets containers connect to each other .* "docker network rm net-test.*allowSharedNetwork: true/,
    });
    t.same(await runtime.list(), []);
    await docker.getNetwork(network).remove();
    const { address } = await bootApp(runtime, app);
    t.ok(address.host, 'once it is removed, it is made as it should be');
  });

  t.test('a network of the host itself is refused too', async (t) => {
    const { runtime } = openRuntime(t, engine, { network: 'host' });
    await t.rejects(bootApp(runtime, app), { message: /network host has the driver host, not bridge/ });
  });

  t.test('with allowSharedNetwork it is used, with a warning that says how to mend it', async (t) => {
    const { runtime, network, log } = openRuntime(t, engine, { allowSharedNetwork: true });
    await makeNetwork(t, network);
    const booted = await bootApp(runtime, app);
    await eventually(() => reaches(booted));
    t.match(log.join(' | '), /lets containers connect to each other .* "docker network rm net-test/);
    t.match(log.join('\n'), /without a subnet of its own, so the engine chooses addresses/);
    t.match(await runtime.list(), [{ id: booted.id, address: booted.address }]);
    await bootApp(runtime, app);
    t.equal(log.filter((line) => /engine chooses/.test(line)).length, 1, 'it is said once');
  });

  t.test('a configured subnet is used, and one that overlaps is refused by name', async (t) => {
    const taken = `taken-${randomBytes(4).toString('hex')}`;
    await makeNetwork(t, taken);
    const subnet = await subnetOf(taken);
    const second = openRuntime(t, engine, { subnet });
    await t.rejects(bootApp(second.runtime, app), {
      message: new RegExp(`with subnet ${subnet.replace('.', '\\.')}.*overlaps`),
    });
    await docker.getNetwork(taken).remove();
    const { address } = await bootApp(second.runtime, app);
    t.equal(await subnetOf(second.network), subnet);
    t.equal(address.host.split('.').slice(0, 3).join('.'), subnet.split('.').slice(0, 3).join('.'));
    t.throws(() => openRuntime(t, engine, { subnet: '10.0.0.0/31' }), { message: /runtimes\.docker\.subnet/ });
  });

  t.test('a network that was removed meanwhile is made again', async (t) => {
    const { runtime, network } = openRuntime(t, engine);
    await runtime.stop((await bootApp(runtime, app)).id, 0);
    await docker.getNetwork(network).remove();
    const again = await bootApp(runtime, app);
    t.ok(await eventually(() => reaches(again)));
  });
});
