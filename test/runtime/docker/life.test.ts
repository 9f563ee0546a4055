import t from 'tap';
import { noLimits } from '../../fixtures/app.js';
import { useDocker } from '../../fixtures/docker.js';
import { containerName } from '../../../src/runtime/docker/labels.js';
import { testImage } from '../../fixtures/docker-image.js';
import { eventually } from '../../fixtures/eventually.js';
import { bootApp, dockerApp, openRuntime } from './open-runtime.js';

t.test('life and death', async (t) => {
  const engine = await useDocker(t);
  if (!engine) return;
  const { docker } = engine;
  const image = await testImage(docker, 'busybox');
  const shell = (script: string) => dockerApp({ image, command: ['sh', '-c', script] });

  t.test('a container outlives its handle, and a new one finds it and stops it', async (t) => {
    const { runtime, reopen } = openRuntime(t, engine);
    const { id, address } = await bootApp(runtime, dockerApp({ image }));
    await runtime.close();
    await runtime.close();
    const next = reopen();
    t.match(await next.list(), [{ id, app: 'shop', revision: /^[0-9a-f]{12}$/, running: true, address }]);
    t.match(await next.inspect(id), { state: 'running', listening: undefined });
    await next.stop(id, 0);
    t.same(await next.list(), []);
    t.same(await next.inspect(id), { state: 'gone' });
  });

  t.test('a container of another installation with the same cmdb name is left alone and said once', async (t) => {
    const first = openRuntime(t, engine);
    const { id } = await bootApp(first.runtime, dockerApp({ image }));
    const second = openRuntime(t, engine, {
      cmdbName: first.cmdbName,
      installation: 'another',
      network: first.network,
    });
    const heard: string[] = [];
    second.runtime.watch((exit) => void heard.push(exit.id));
    t.same(await second.runtime.list(), []);
    t.same(await second.runtime.list(), []);
    t.equal(second.log.filter((line) => /of another installation with the same cmdb.name/.test(line)).length, 1);
    await t.rejects(second.runtime.stop(id, 0), { message: /it is not touched/ });
    t.match(await first.runtime.list(), [{ id, running: true }]);
    const own = await bootApp(second.runtime, dockerApp({ image }));
    await first.runtime.stop(id, 0);
    await second.runtime.stop(own.id, 0);
    await eventually(() => heard.length > 0);
    t.same(heard, [own.id]);
  });

  t.test('stop ends gently, is shared by those who call it at once, and is harmless twice', async (t) => {
    const { runtime } = openRuntime(t, engine);
    const seen: string[] = [];
    runtime.watch((exit) => void seen.push(exit.cause));
    const gentle = await bootApp(runtime, shell('trap "exit 7" TERM; echo up; while :; do sleep 0.1; done'));
    await eventually(async () => (await runtime.output(gentle.id, 100)) !== '');
    await Promise.all([runtime.stop(gentle.id, 20_000), runtime.stop(gentle.id, 20_000)]);
    await runtime.stop(gentle.id, 0);
    await eventually(() => seen.length === 1);
    t.same(seen, ['exit code 7']);
  });

  t.test('stop kills what does not listen, and takes its volumes along', async (t) => {
    const { runtime } = openRuntime(t, engine);
    const deaf = await bootApp(runtime, shell('trap "" TERM; while :; do sleep 1; done'));
    await runtime.stop(deaf.id, 100);
    t.same(await runtime.inspect(deaf.id), { state: 'gone' });
  });

  t.test('stop, inspect and output know nothing of ids that never were, or that are none', async (t) => {
    const { runtime } = openRuntime(t, engine);
    const { id } = await bootApp(runtime, dockerApp({ image }));
    const { Id } = await docker.getContainer(containerName(id)).inspect();
    for (const unknown of ['no-such-instance', '', '../../images/json', Id, Id.slice(0, 12), id.slice(0, -1)]) {
      await runtime.stop(unknown, 0);
      t.same(await runtime.inspect(unknown), { state: 'gone' }, `inspect ${unknown}`);
      t.equal(await runtime.output(unknown, 100), '');
    }
    t.equal((await runtime.inspect(id)).state, 'running');
  });

  t.test('what listens inside a container is told, whoever can reach it', async (t) => {
    const { runtime } = openRuntime(t, engine);
    const { id } = await bootApp(runtime, shell('httpd -f -p 127.0.0.1:8081 & httpd -f -p 8082'));
    const seen = await eventually(async () => {
      const addresses = await runtime.listensOn?.(id);
      return (addresses?.length ?? 0) > 1 && addresses;
    });
    t.same(seen && seen.toSorted(), ['127.0.0.1:8081', '[::]:8082']);
    t.equal(await runtime.listensOn?.('no-such-instance'), undefined);
  });

  t.test('a handle knows its engine as soon as it has listed', async (t) => {
    const { runtime, reopen } = openRuntime(t, engine);
    await runtime.list();
    t.match(runtime.identity, { id: /\S+ \/\S+/, place: engine.socketPath });
    const other = reopen();
    await other.list();
    t.same(other.identity, runtime.identity);
  });

  t.test('an exited container tells why, stays listed as dead, and keeps its output until it is stopped', async (t) => {
    const { runtime } = openRuntime(t, engine);
    const { id } = await bootApp(runtime, shell('echo to stdout; echo to stderr >&2; printf "grüße"; exit 3'));
    const inspection = await eventually(async () => {
      const found = await runtime.inspect(id);
      return found.state === 'exited' && found;
    });
    t.match(inspection, { state: 'exited', cause: 'exit code 3' });
    const [listed] = await runtime.list();
    t.match(listed, { id, running: false });
    t.notOk(listed?.address);
    const output = await runtime.output(id, 10_000);
    t.match(output, 'to stdout\n');
    t.match(output, 'to stderr\n');
    t.match(output, 'grüße');
    t.ok(Buffer.byteLength(await runtime.output(id, 4)) <= 4);
    await runtime.stop(id, 0);
    t.equal(await runtime.output(id, 10_000), '');
  });

  t.test('out of memory is told from any other kill', async (t) => {
    const { runtime } = openRuntime(t, engine);
    const seen: string[] = [];
    runtime.watch(({ cause }) => void seen.push(cause));
    const hungry = {
      ...shell('sleep 0.2; exec tail /dev/zero'),
      limits: { ...noLimits, memoryBytes: 16 * 1024 * 1024 },
    };
    const { id } = await bootApp(runtime, hungry);
    await eventually(() => seen.length > 0);
    t.same(seen, ['out of memory']);
    t.match(await runtime.inspect(id), { state: 'exited', cause: 'out of memory' });
  });
});
