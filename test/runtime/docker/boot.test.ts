import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { noLimits } from '../../fixtures/app.js';
import { useDocker } from '../../fixtures/docker.js';
import { containerName } from '../../../src/runtime/docker/labels.js';
import { testImage } from '../../fixtures/docker-image.js';
import { eventually } from '../../fixtures/eventually.js';
import { bootApp, dockerApp, openRuntime, specOf } from './open-runtime.js';

t.test('boot', async (t) => {
  const engine = await useDocker(t);
  if (!engine) return;
  const image = await testImage(engine.docker, 'busybox');
  const get = async (address: { host: string; port: number }, path = '/') => {
    const response = await fetch(`http://${address.host}:${address.port}${path}`);
    return response.text();
  };

  t.test('a container is reached at its address on the network, on the one port that the image exposes', async (t) => {
    const { runtime } = openRuntime(t, engine);
    const { address, phases } = await bootApp(runtime, dockerApp({ image }));
    t.equal(address.port, 8080);
    t.equal(await eventually(() => get(address)), 'hello from busybox\n');
    t.same(phases, ['create', 'start']);
  });

  t.test('the engine confirms labels, limits and confinement', async (t) => {
    const { runtime, cmdbName, network } = openRuntime(t, engine);
    const limits = { memoryBytes: 64 * 1024 * 1024, cpus: 0.5, cpuWeight: 50, pids: 32, files: 300 };
    const app = dockerApp({ image, limits, user: 'nobody', cwd: '/www', readOnly: true });
    const { id } = await bootApp(runtime, app);
    const found = await engine.docker.getContainer(containerName(id)).inspect();
    t.match(found.Name, /^\/fc-[0-9a-f]{20}$/);
    t.match(found.Config.Labels, {
      'fastcontainer.cmdb': cmdbName,
      'fastcontainer.app': 'shop',
      'fastcontainer.instance': id,
      'fastcontainer.revision': /^[0-9a-f]{12}$/,
    });
    t.match(found.HostConfig, {
      Memory: limits.memoryBytes,
      MemorySwap: limits.memoryBytes,
      NanoCpus: 5e8,
      PidsLimit: 32,
      CpuShares: 512,
      Ulimits: [{ Name: 'nofile', Soft: 300, Hard: 300 }],
      OomScoreAdj: 500,
      IpcMode: 'private',
      NetworkMode: network,
      Init: true,
      RestartPolicy: { Name: 'no' },
      ReadonlyRootfs: true,
      SecurityOpt: ['no-new-privileges'],
      CapDrop: ['ALL'],
      LogConfig: { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '3' } },
    });
    t.match(found.Config, { User: 'nobody', WorkingDir: '/www', Tty: false, OpenStdin: false });
    t.equal(found.HostConfig.Privileged, false);
    t.notOk(found.HostConfig.CapAdd?.some((name: string) => /SYS_ADMIN|NET_RAW|NET_ADMIN/.test(name)));
  });

  t.test('a bound for the disk that the engine cannot keep costs no boot', async (t) => {
    const { runtime, log } = openRuntime(t, engine, { diskBytes: 1024 ** 3 });
    // Several are refused before the first one knows.
    const booted = await Promise.all([1, 2, 3, 4].map(() => bootApp(runtime, dockerApp({ image }))));
    t.ok(log.filter((line) => line.startsWith('the engine cannot bound')).length <= 1, 'it is said once');
    for (const { id } of [...booted, await bootApp(runtime, dockerApp({ image }))]) {
      const { HostConfig } = await engine.docker.getContainer(containerName(id)).inspect();
      const storage = HostConfig['StorageOpt'] ?? { size: String(1024 ** 3) };
      t.same(storage, { size: String(1024 ** 3) });
    }
  });

  t.test('an app finds its environment, its own command and nothing of ours', async (t) => {
    const { runtime } = openRuntime(t, engine);
    const command = ['sh', '-c', 'env | sort; grep NoNewPrivs /proc/self/status; exec sleep 60'];
    const app = dockerApp({ image, command, port: 3000, env: { GREETING: 'hi there', PORT: '1' } });
    const { id, address } = await bootApp(runtime, app);
    t.equal(address.port, 3000);
    const output = await eventually(async () => {
      const text = await runtime.output(id, 10_000);
      return text.includes('NoNewPrivs') && text;
    });
    t.match(output, /^FASTCONTAINER_APP=shop$/m);
    t.match(output, new RegExp(`^FASTCONTAINER_INSTANCE=${id}$`, 'm'));
    t.match(output, /^GREETING=hi there$/m);
    t.match(output, /^HOST=0\.0\.0\.0$/m);
    t.match(output, /^PORT=3000$/m);
    t.match(output, /^NoNewPrivs:\s1$/m);
    t.notMatch(output, /SHLVL=[^1]|^TAP/m);
  });

  t.test('instances side by side have a scratch directory each, unless one of the host is mounted there', async (t) => {
    const { runtime } = openRuntime(t, engine);
    const source = mkdtempSync(join(tmpdir(), 'fastcontainer-mount-'));
    t.teardown(() => rmSync(source, { recursive: true, force: true }));
    // With `set -C` a redirection fails if the file exists.
    const script =
      'set -C; echo "$$" >"$TMPDIR/app.pid" && echo "alone in $TMPDIR, $FASTCONTAINER_SCRATCH."; exec sleep 60';
    const apps = [
      dockerApp({ image, command: ['sh', '-c', script] }),
      dockerApp({ image, command: ['sh', '-c', script] }),
      dockerApp({ image, command: ['sh', '-c', script], readOnly: true }),
      dockerApp({ image, command: ['sh', '-c', 'echo "none: $TMPDIR$FASTCONTAINER_SCRATCH."; exec sleep 60'] }),
    ];
    apps[3] = { ...apps[3]!, mounts: [{ source, target: '/tmp/', readOnly: false, shared: false }] };
    const booted = await Promise.all(apps.map((app) => bootApp(runtime, app)));
    const said = await Promise.all(
      booted.map(({ id }) =>
        eventually(async () => {
          const text = await runtime.output(id, 1_000);
          return text.endsWith('.\n') && text;
        }),
      ),
    );
    t.same(said, [...Array.from({ length: 3 }, () => 'alone in /tmp, /tmp.\n'), 'none: .\n']);
  });

  t.test('a mount is there, read-only if it says so, and a missing source is named', async (t) => {
    const { runtime } = openRuntime(t, engine);
    const source = mkdtempSync(join(tmpdir(), 'fastcontainer-mount-'));
    t.teardown(() => rmSync(source, { recursive: true, force: true }));
    writeFileSync(join(source, 'index.html'), 'from the host');
    const command = ['sh', '-c', 'touch /www/x; touch /x; touch /tmp/ok && ls /tmp; exec httpd -f -p 8080 -h /www'];
    const mounts = [{ source, target: '/www', readOnly: true, shared: false }];
    const { id, address } = await bootApp(runtime, dockerApp({ image, mounts, readOnly: true, command }));
    t.equal(await eventually(() => get(address)), 'from the host');
    const output = await runtime.output(id, 10_000);
    t.match(output, /\/www\/x: Read-only file system/);
    t.match(output, /touch: \/x: Read-only file system/);
    t.match(output, /^ok$/m);

    const missing = dockerApp({
      image,
      mounts: [{ source: join(source, 'nope'), target: '/data', readOnly: false, shared: false }],
    });
    await t.rejects(bootApp(runtime, missing), {
      message: `app shop mounts ${join(source, 'nope')}, which does not exist on Docker Engine's host: create it`,
    });
    t.equal((await runtime.list()).length, 1);
  });

  t.test('a published app is reached through a port of the host, also for those who list it', async (t) => {
    const { runtime } = openRuntime(t, engine, { advertiseHost: engine.host });
    const { id, address } = await bootApp(runtime, dockerApp({ image, publish: true }));
    t.equal(address.host, engine.host);
    t.not(address.port, 8080);
    t.equal(await eventually(() => get(address)), 'hello from busybox\n');
    t.match(await runtime.list(), [{ id, running: true, address }]);
    const { HostConfig } = await engine.docker.getContainer(containerName(id)).inspect();
    t.match(HostConfig.PortBindings, { '8080/tcp': [{ HostIp: engine.host }] });
  });

  t.test('a published port that takes connections does not make an app ready that does not listen', async (t) => {
    const { runtime } = openRuntime(t, engine, { advertiseHost: engine.host });
    const command = ['sh', '-c', 'until [ -e /tmp/go ]; do sleep 0.1; done; exec httpd -f -p 8080 -h /www'];
    const { id } = await bootApp(runtime, dockerApp({ image, publish: true, command }));
    t.match(await runtime.inspect(id), { state: 'running', listening: false });
    await engine.docker.getContainer(containerName(id)).exec(['touch', '/tmp/go']);
    await eventually(async () => {
      const found = await runtime.inspect(id);
      return found.state === 'running' && found.listening === true;
    });
  });

  t.test('an app that is not root writes to /dev/stderr, as apache and nginx do', async (t) => {
    const { runtime } = openRuntime(t, engine);
    const command = ['sh', '-c', 'echo to stdout > /dev/stdout; echo to stderr > /dev/stderr; exec sleep 60'];
    const { id } = await bootApp(runtime, dockerApp({ image, user: '3120:3120', command }));
    const output = await eventually(async () => {
      const text = await runtime.output(id, 1_000);
      return text.includes('to stdout') && text.includes('to stderr') && text;
    });
    t.notMatch(output, /denied/i);
  });

  t.test('without an address to advertise, a port is published on the loopback only', async (t) => {
    const { runtime } = openRuntime(t, engine);
    const { id, address } = await bootApp(runtime, dockerApp({ image, publish: true }));
    t.equal(address.host, '127.0.0.1');
    const { HostConfig } = await engine.docker.getContainer(containerName(id)).inspect();
    t.match(HostConfig.PortBindings, { '8080/tcp': [{ HostIp: '127.0.0.1' }] });
  });

  t.test('an image that is missing and cannot be pulled is named with the cause', async (t) => {
    const { runtime, log } = openRuntime(t, engine);
    const missing = 'localhost:1/nobody/nothing:7';
    await t.rejects(bootApp(runtime, dockerApp({ image: missing })), {
      message:
        /^image localhost:1\/nobody\/nothing:7 of app shop is not on this engine and cannot be pulled: .*refused/,
    });
    t.match(log, [/pulling it/]);
    t.same(await runtime.list(), []);
  });

  t.test('an app without an image, and an image name that is none, are refused with a reason', async (t) => {
    const { runtime } = openRuntime(t, engine);
    const { image: _none, ...without } = dockerApp({ image });
    await t.rejects(bootApp(runtime, without), { message: /app shop has no image/ });
    await t.rejects(bootApp(runtime, dockerApp({ image: '../../containers/json?all=1' })), {
      message: /app shop: .* is not the name of an image/,
    });
    await t.rejects(bootApp(runtime, dockerApp({ image: 'Not A Name' })), {
      message: /Not A Name is not the name of an image/,
    });
  });

  t.test('a command that cannot be started fails the boot and leaves nothing', async (t) => {
    const { runtime } = openRuntime(t, engine);
    const app = dockerApp({ image, command: ['/no/such/program'], user: 'no-such-user' });
    await t.rejects(bootApp(runtime, app), { message: /cannot start container .* of app shop: .*no-such-user/ });
    t.same(await runtime.list(), []);
  });

  t.test('a limit that the engine refuses is told in its words', async (t) => {
    const { runtime } = openRuntime(t, engine);
    await t.rejects(bootApp(runtime, dockerApp({ image, limits: { ...noLimits, memoryBytes: 1024 } })), {
      message: /cannot create container .* answered 400: Minimum memory limit/,
    });
  });

  t.test('an aborted boot rejects with the reason and leaves nothing, whenever it is aborted', async (t) => {
    const { runtime } = openRuntime(t, engine);
    const reason = new Error('enough');
    await t.rejects(bootApp(runtime, dockerApp({ image }), AbortSignal.abort(reason)), reason);
    for (const delayMs of [0, 1, 4, 8, 16, 32, 64, 128]) {
      const spec = specOf(dockerApp({ image }));
      const controller = new AbortController();
      const booting = runtime.boot(spec, { signal: controller.signal, onPhase: () => undefined });
      setTimeout(() => controller.abort(reason), delayMs);
      const outcome = await booting.catch((error: unknown) => error);
      if (outcome === reason) t.same(await runtime.inspect(spec.id), { state: 'gone' }, `aborted after ${delayMs} ms`);
      else await runtime.stop(spec.id, 0);
    }
    t.same(await runtime.list(), []);
  });

  t.test('what a container wrote before its boot was aborted can still be read, until it is stopped', async (t) => {
    const { runtime } = openRuntime(t, engine);
    const controller = new AbortController();
    const spec = specOf(
      dockerApp({ image, publish: true, command: ['sh', '-c', 'echo cannot find my database; exit 3'] }),
    );
    const unwatch = runtime.watch((exit) => exit.id === spec.id && controller.abort(new Error(exit.cause)));
    await runtime.boot(spec, { signal: controller.signal, onPhase: () => undefined }).catch(() => undefined);
    await eventually(async () => (await runtime.inspect(spec.id)).state !== 'running');
    t.match(await runtime.output(spec.id, 1_000), /cannot find my database/);
    await runtime.stop(spec.id, 0);
    t.equal(await runtime.output(spec.id, 1_000), '');
    unwatch();
  });

  t.test('a container of that name which is not ours is an error, and is not touched', async (t) => {
    const { runtime } = openRuntime(t, engine);
    const spec = specOf(dockerApp({ image }));
    const foreign = await engine.docker.createContainer({ name: containerName(spec.id), Image: image });
    t.teardown(() => foreign.remove({ force: true }));
    await t.rejects(runtime.boot(spec, { signal: new AbortController().signal, onPhase: () => undefined }), {
      message: /already in use/,
    });
    await t.rejects(runtime.stop(spec.id, 0), { message: /does not carry the labels .* not touched/ });
    await t.rejects(runtime.inspect(spec.id), { message: /does not carry the labels/ });
    t.equal((await foreign.inspect()).State.Status, 'created');
    t.same(await runtime.list(), []);
  });
});
