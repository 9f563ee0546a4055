import { randomBytes } from 'node:crypto';
import t from 'tap';
import { useCompose } from '../fixtures/compose.js';
import { bootApp, dockerApp, openRuntime } from '../runtime/docker/open-runtime.js';
import { testImage } from '../fixtures/docker-image.js';
import { useOwnDocker } from '../fixtures/docker.js';
import { eventually } from '../fixtures/eventually.js';
import { standInForNode, standInForRedis } from '../fixtures/public-images.js';
import { ask } from '../fixtures/request.js';

// Building images takes its time on a machine where other tests run.
t.setTimeout(900_000);

t.test('docker compose up: a request wakes the sample app, which goes when idle; down leaves nothing', async (t) => {
  const composeOn = useCompose(t);
  if (!composeOn) return;
  // Not the run's engine: the ports, the network and the images have the names that users see.
  const engine = await useOwnDocker(t);
  if (!engine) return;
  const { docker, host, socketPath } = engine;
  await standInForNode(docker, 'node:20.20.2-bookworm-slim');
  await standInForRedis(docker, 'redis:7.4.6');
  const compose = composeOn(socketPath, {
    COMPOSE_PROJECT_NAME: `fctest${randomBytes(4).toString('hex')}`,
    FASTCONTAINER_LISTEN: '0.0.0.0:8080',
    HELLO_IDLE_TTL: '2s',
  });
  const labelled = async (label: string) => docker.listContainers({ all: true, filters: { label: [label] } });
  const apps = () => labelled('fastcontainer.app=hello');
  const dispatcher = async () => {
    const [found] = await labelled('com.docker.compose.service=dispatcher');
    return docker.getContainer(found?.Id ?? 'none');
  };
  const health = async () => (await (await dispatcher()).inspect()).State.Health?.Status;
  const checkHealth = async () => (await dispatcher()).exec(['node', '/app/docker/healthcheck.js']);

  // As after the README's first steps: a dispatcher of this machine has its apps on the engine already.
  const beside = openRuntime(t, engine, {
    network: 'fastcontainer',
    cmdbName: 'fastcontainer',
    installation: 'beside',
  });
  const neighbour = await bootApp(beside.runtime, dockerApp({ image: await testImage(docker, 'busybox') }));

  await compose('up', '-d', '--build');
  t.teardown(() => compose('down', '--volumes'));
  await eventually(async () => (await health()) === 'healthy', 120_000);

  t.same(await apps(), [], 'nothing runs before somebody asks');
  const answer = await ask(8080, 'hello.localhost', '/', { address: host });
  t.match(answer, { status: 200, body: /^Hello from process \d+/ });
  t.match(await apps(), [{ Image: 'fastcontainer-hello', State: 'running' }], 'it runs beside the dispatcher');
  t.match(await docker.getNetwork('fastcontainer-compose').inspect(), {
    Options: { 'com.docker.network.bridge.enable_icc': 'false' },
  });
  await eventually(async () => (await apps()).length === 0);

  const { Processes } = await (await dispatcher()).top({ ps_args: '-eo pid,uid,args' });
  t.match(
    Processes.filter(([, , args]: string[]) => args?.startsWith('node ')),
    [[String, '1000', /entrypoint\.js start/]],
    'the dispatcher itself is not root',
  );

  await compose('stop', 'redis');
  await eventually(async () => (await checkHealth()).exitCode === 1);
  t.match((await checkHealth()).output, /store cannot be reached/);
  await compose('start', 'redis');
  await eventually(async () => (await checkHealth()).exitCode === 0);

  t.match(await ask(8080, 'any.hello.localhost', '/', { address: host }), { status: 200 });
  await compose('down', '--volumes');
  t.match(await beside.runtime.inspect(neighbour.id), { state: 'running' }, 'what is beside it was left alone');
  await beside.runtime.stop(neighbour.id, 0);
  await docker.getNetwork('fastcontainer').remove();
  t.same(await docker.listContainers({ all: true }), [], 'no container, also none of an app that ran');
  t.same((await docker.listNetworks()).map(({ Name }) => Name).toSorted(), ['host', 'none']);
  t.same((await docker.listVolumes()).Volumes ?? [], []);
});
