import { createHash } from 'node:crypto';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { revisionOf } from '../../../src/model/app.js';
import { systemClock } from '../../../src/machine/system-clock.js';
import { Images } from '../../../src/runtime/oci/images.js';
import type { Runtime } from '../../../src/runtime/runtime.js';
import { eventually } from '../../fixtures/eventually.js';
import { busyboxEntries, manifestType, tar, type TarEntry, writeLayout } from './image-layout.js';
import { boot, containerApp, type Containers, newId, nothing, useContainers } from './open-containers.js';

/** An app that has nothing but its image. */
function imageApp(image: string, changes: Parameters<typeof containerApp>[0] = {}) {
  const { command: _none, ...app } = containerApp({ image, ...changes });
  return { ...app, ...(changes.command && { command: changes.command }) };
}

const says = {
  Env: ['GREETING=hello', 'PATH=/bin'],
  Entrypoint: ['/bin/sh', '-c'],
  Cmd: ['echo $GREETING $(pwd) $(id -u); exec sleep 1000'],
  WorkingDir: '/work',
  User: '1234',
};

/** Gives a layout's image another manifest, of the same configuration with fewer layers. */
function dropLastLayer(layout: string): void {
  const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as {
    manifests: { digest: string; size: number }[];
  };
  const [entry] = index.manifests;
  const manifest = JSON.parse(readFileSync(join(layout, 'blobs', ...entry!.digest.split(':')), 'utf8')) as {
    layers: unknown[];
  };
  const text = JSON.stringify({ ...manifest, layers: manifest.layers.slice(0, -1) });
  const digest = createHash('sha256').update(text).digest('hex');
  writeFileSync(join(layout, 'blobs', 'sha256', digest), text);
  Object.assign(entry!, { digest: `sha256:${digest}`, size: text.length });
  writeFileSync(join(layout, 'index.json'), JSON.stringify(index));
}

t.test('an image of a layout, an archive or a registry runs as it says, and is fetched once', async (t) => {
  const containers = await useImages(t);
  if (!containers) return;
  const { shared, options } = containers;
  const layout = join(shared, 'layout');
  const { config } = writeLayout(layout, {
    layers: [tar([...busyboxEntries(), { name: 'work/', type: '5' }])],
    config: says,
  });
  const archive = join(shared, 'image.tar');
  execFileSync('skopeo', ['--insecure-policy', 'copy', '-q', `oci:${layout}:v1`, `docker-archive:${archive}`]);
  const registry = await serve(t, layout);
  const runtime = await containers.open();
  for (const image of [`docker://${registry.name}:v1`, `oci:${layout}:v1`, `docker-archive:${archive}`]) {
    const { id } = await boot(runtime, imageApp(image));
    t.equal(await said(runtime, id), 'hello /work 1234\n', image);
    await runtime.stop(id, 0);
  }
  t.ok(
    existsSync(join(options.stateDir, 'images', config.slice('sha256:'.length))),
    'under the digest of its configuration',
  );
  const asked = registry.asked.length;
  const { id } = await boot(
    runtime,
    imageApp(`docker://${registry.name}:v1`, { command: ['echo again; exec sleep 1000'] }),
  );
  t.equal(await said(runtime, id), 'again\n', 'a command is given to the entrypoint');
  t.equal(registry.asked.length, asked, 'nothing is asked again');
  await runtime.stop(id, 0);
  t.same(await containers.traces(), nothing);
});

t.test('two daemons that boot one image at once fetch it once', async (t) => {
  const containers = await useImages(t);
  if (!containers) return;
  const layout = join(containers.shared, 'layout');
  const { layers } = writeLayout(layout, { layers: [tar(busyboxEntries())], config: { Cmd: ['/bin/sleep', '1000'] } });
  const registry = await serve(t, layout);
  const runtimes = [await containers.open(), await containers.open()];
  const booted = await Promise.all(runtimes.map((runtime) => boot(runtime, imageApp(`docker://${registry.name}:v1`))));
  t.equal(registry.asked.filter((path) => path.endsWith(layers[0] ?? '')).length, 1);
  for (const [index, { id }] of booted.entries()) await runtimes[index]?.stop(id, 0);
});

t.test('a daemon that is killed while it fetches an image leaves nothing of it', async (t) => {
  const containers = await useImages(t);
  if (!containers) return;
  const { shared, options } = containers;
  const layout = join(shared, 'layout');
  const { layers } = writeLayout(layout, { layers: [tar(busyboxEntries())], config: { Cmd: ['/bin/sleep', '1000'] } });
  const registry = await serve(t, layout, layers[0]);
  const app = imageApp(`docker://${registry.name}:v1`);
  const { logger: _logger, clock: _clock, ...told } = options;
  const order = { kind: 'oci', options: told, spec: { id: newId('shop'), app, revision: revisionOf(app) } };
  const script = resolve('test/fixtures/dispatcher.mjs');
  const child = spawn(process.execPath, [script, JSON.stringify(order)], { stdio: 'ignore' });
  t.teardown(() => child.kill('SIGKILL'));
  const [held] = (await once(registry.server, 'held')) as [ServerResponse];
  t.ok(unfinished(options.stateDir).length > 0);
  const ended = Promise.all([once(child, 'exit'), once(held, 'close')]);
  child.kill('SIGKILL');
  await ended;
  const next = await containers.open();
  t.same(unfinished(options.stateDir), []);
  const { id } = await boot(next, app);
  await next.stop(id, 0);
  t.same(await containers.traces(), nothing);
});

t.test('an image that is missing, broken or too large is a clear error, and leaves nothing', async (t) => {
  const containers = await useImages(t, { imageBytes: 8 * 1024 * 1024 });
  if (!containers) return;
  const { shared, options } = containers;
  const runtime = await containers.open();
  const path = (name: string) => join(shared, name);
  const layout = (name: string, layers: readonly TarEntry[][], config: object = { Cmd: ['/bin/sleep', '1000'] }) =>
    writeLayout(path(name), { layers: layers.map(tar), config: config as Record<string, unknown> });
  const lacking = layout('lacking', [busyboxEntries()]);
  rmSync(join(path('lacking'), 'blobs', ...(lacking.layers[0] ?? '').split(':')));
  const forged = layout('forged', [busyboxEntries()]);
  const blob = join(path('forged'), 'blobs', ...(forged.layers[0] ?? '').split(':'));
  const bytes = readFileSync(blob);
  writeFileSync(blob, Buffer.concat([bytes.subarray(0, -1), Buffer.from([~(bytes.at(-1) ?? 0) & 255])]));
  const zeros = Buffer.alloc(1024 * 1024);
  layout('bomb', [Array.from({ length: 16 }, (_, index) => ({ name: `zeros-${index}`, data: zeros }))]);
  layout('large', [[{ name: 'zeros', data: Buffer.alloc(9 * 1024 * 1024) }]]);
  layout('odd', [busyboxEntries()], { Env: ['no assignment'] });
  layout('silent', [busyboxEntries()], {});
  layout('short', [busyboxEntries(), [{ name: 'more', data: Buffer.from('x') }]]);
  dropLastLayer(path('short'));
  layout('pipe', [busyboxEntries()]);
  rmSync(join(path('pipe'), 'index.json'));
  execFileSync('mkfifo', [join(path('pipe'), 'index.json')]);
  const faults = [
    [`oci:${path('none')}:v1`, /app shop: the image oci:.*none:v1 cannot be used: .*(no such file|ENOENT)/],
    [`oci:${path('silent')}:v2`, /cannot be used: .*v2/],
    [`docker-archive:${path('none.tar')}`, /cannot be used: ENOENT/],
    ['docker://127.0.0.1:9/shop:v1', /cannot be used: .*connection refused/],
    [`oci:${path('lacking')}:v1`, /cannot be used: .*no such file/],
    [`oci:${path('forged')}:v1`, /cannot be used: .*(digest|checksum|mismatch)/i],
    [`oci:${path('short')}:v1`, /cannot be used: it has other layers than its configuration names/],
    [`oci:${path('pipe')}:v1`, /cannot be used: .*index\.json is not a file/],
    [`oci:${path('bomb')}:v1`, /cannot be used: it is larger than runtimes.oci.imageSize/],
    [`oci:${path('large')}:v1`, /cannot be used: .*(file too large|larger than runtimes.oci.imageSize)/],
    [`oci:${path('odd')}:v1`, /cannot be used: its config has the entry "no assignment" in Env/],
    [`oci:${path('silent')}:v1`, /app shop has no command to run, and its image names none; set 'command'/],
    ['oci:/etc/layout:v1', /app shop: image oci:\/etc\/layout:v1 is in \/etc, which is not for apps/],
  ] as const;
  for (const [image, message] of faults) await t.rejects(boot(runtime, imageApp(image)), { message }, image);
  t.same(unfinished(options.stateDir), []);
  t.same(await containers.traces(), nothing);
});

t.test('layers lead nowhere out of their image, and their devices do not work', async (t) => {
  const containers = await useImages(t);
  if (!containers) return;
  const { shared } = containers;
  const victim = join(shared, 'victim');
  mkdirSync(victim);
  writeFileSync(join(victim, 'file'), 'untouched');
  const evil = Buffer.from('evil');
  const up = '../'.repeat(12);
  const attacks: TarEntry[][] = [
    [{ name: `${up}${victim.slice(1)}/new`, data: evil }],
    [
      { name: 'way', type: '2', link: victim },
      { name: 'way/file', data: evil },
    ],
    [
      { name: 'way', type: '2', link: `${up}${victim.slice(1)}` },
      { name: 'way/new', data: evil },
    ],
    [
      { name: 'hard', type: '1', link: `${victim}/file` },
      { name: 'hard', data: evil },
    ],
    [{ name: `${victim}/new`, data: evil }],
    [{ name: '.wh.bin' }, { name: '.wh...', data: evil }, { name: `.wh.${up}`, data: evil }],
  ];
  const runtime = await containers.open();
  for (const [index, attack] of attacks.entries()) {
    const layout = join(shared, `attack-${index}`);
    // The second layer finds what the first one has left.
    writeLayout(layout, {
      layers: [tar(busyboxEntries()), tar(attack), tar(attack)],
      config: { Cmd: ['/bin/sleep', '1000'] },
    });
    // Whether it is refused or unpacked does not matter.
    await boot(runtime, imageApp(`oci:${layout}:v1`)).then(
      ({ id }) => runtime.stop(id, 0),
      () => {},
    );
    t.same(readdirSync(victim), ['file'], JSON.stringify(attack));
    t.equal(readFileSync(join(victim, 'file'), 'utf8'), 'untouched');
  }
  const layout = join(shared, 'devices');
  const device: TarEntry = { name: 'null', type: '3', mode: 0o666 };
  const script = 'echo $(id -u) $( (echo x >/null) 2>&1); exec sleep 1000';
  const config = { Cmd: ['/bin/sh', '-c', script], User: '0' };
  writeLayout(layout, { layers: [tar([...busyboxEntries(), device])], config });
  const { id } = await boot(runtime, imageApp(`oci:${layout}:v1`));
  t.match(await said(runtime, id), /^19\d{8} .*null: Permission denied/, 'nor does the image make it root');
  await runtime.stop(id, 0);
  t.same(await containers.traces(), nothing);
});

t.test('users are looked up in the image alone, and in plain files', async (t) => {
  const containers = await useImages(t);
  if (!containers) return;
  const runtime = await containers.open();
  const passwd: TarEntry[] = [
    { name: 'etc/passwd', type: '2', link: '/etc/passwd' },
    { name: 'etc/passwd', type: '2', link: '../../../../../../../../../../../../etc/passwd' },
    { name: 'etc/passwd', type: '6' },
  ];
  for (const [index, entry] of passwd.entries()) {
    const layout = join(containers.shared, String(index));
    const config = { Cmd: ['/bin/sleep', '1000'], User: 'daemon' };
    writeLayout(layout, { layers: [tar([...busyboxEntries(), { name: 'etc/', type: '5' }, entry])], config });
    await t.rejects(boot(runtime, imageApp(`oci:${layout}:v1`)), { message: /there is no user 'daemon' in the image/ });
  }
});

t.test('no image makes its app root, by whatever name', async (t) => {
  const containers = await useImages(t);
  if (!containers) return;
  const runtime = await containers.open();
  const layout = join(containers.shared, 'toor');
  const passwd = { name: 'etc/passwd', data: Buffer.from('toor:x:0:0::/:/bin/sh\n') };
  const config = { Cmd: ['/bin/sleep', '1000'], User: 'toor' };
  writeLayout(layout, { layers: [tar([...busyboxEntries(), { name: 'etc/', type: '5' }, passwd])], config });
  await t.rejects(boot(runtime, imageApp(`oci:${layout}:v1`)), {
    message: /its image would make it root as toor; set 'user'/,
  });
});

t.test('images that nothing uses go when they are old, or more than is kept', async (t) => {
  const containers = await useImages(t);
  if (!containers) return;
  const { shared } = containers;
  const directory = join(shared, 'images');
  const used = new Set<string>();
  const bounds = { maxBytes: 2 ** 30, keptBytes: 2 ** 30, inUse: async () => used };
  const images = new Images({ directory, ...bounds, logger: pino({ level: 'silent' }), clock: systemClock });
  await images.open();
  t.teardown(() => images.close());
  const digests: string[] = [];
  for (const name of ['used', 'old', 'recent', 'new']) {
    const source = `oci:${join(shared, name)}:v1`;
    writeLayout(join(shared, name), { layers: [tar([{ name, data: Buffer.alloc(100_000) }])] });
    const { digest } = await images.of(
      { kind: 'packed', source, path: join(shared, name) },
      'shop',
      new AbortController().signal,
    );
    digests.push(digest);
  }
  const [inUse = '', old = '', recent = '', fresh = ''] = digests;
  used.add(inUse);
  const daysAgo = (digest: string, days: number) => {
    const at = Date.now() / 1_000 - days * 86_400;
    utimesSync(join(directory, digest), at, at);
  };
  for (const digest of [inUse, old]) daysAgo(digest, 30);
  daysAgo(recent, 1);
  images.sweep();
  await images.close();
  const left = () => readdirSync(directory).filter((name) => /^[0-9a-f]{64}$/.test(name));
  t.same(new Set(left()), new Set([inUse, recent, fresh]));
  const stingy = new Images({
    directory,
    ...bounds,
    keptBytes: 1,
    logger: pino({ level: 'silent' }),
    clock: systemClock,
  });
  stingy.sweep();
  await stingy.close();
  t.same(new Set(left()), new Set([inUse, fresh]), 'one that a boot may be about to use stays');
  t.equal(readdirSync(join(directory, 'refs')).length, 2);
});

async function useImages(t: Test, changes: Partial<Containers['options']> = {}): Promise<Containers | undefined> {
  const missing = ['skopeo', 'umoci'].filter((name) => !existsSync(`/usr/bin/${name}`));
  if (missing.length > 0) {
    t.plan(0, `no images are fetched here: ${missing.join(' and ')} missing`);
    return undefined;
  }
  const containers = await useContainers(t);
  return containers && { ...containers, open: (more) => containers.open({ ...changes, ...more }) };
}

/** Serves a layout as a registry does (OCI distribution-spec 1.0), and holds back the first answer for one of its blobs. */
async function serve(
  t: Test,
  layout: string,
  heldBlob?: string,
): Promise<{ server: Server; name: string; asked: string[] }> {
  const asked: string[] = [];
  let hold = heldBlob;
  const server = createServer((request, response) => {
    const { url = '' } = request;
    asked.push(url);
    const [, kind, reference = ''] = /^\/v2\/shop\/(manifests|blobs)\/(.+)$/.exec(url) ?? [];
    const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as { manifests: { digest: string }[] };
    const digest = kind === 'manifests' && !reference.includes(':') ? (index.manifests[0]?.digest ?? '') : reference;
    if (hold !== undefined && digest === hold) {
      hold = undefined;
      server.emit('held', response);
      return;
    }
    const path = join(layout, 'blobs', ...digest.split(':'));
    if (url === '/v2/') response.end('{}');
    else if (kind === undefined || !existsSync(path)) response.writeHead(404).end('{"errors":[]}');
    else {
      const type = kind === 'manifests' ? manifestType : 'application/octet-stream';
      response.writeHead(200, { 'content-type': type, 'docker-content-digest': digest }).end(readFileSync(path));
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return { server, name: `127.0.0.1:${(server.address() as AddressInfo).port}/shop`, asked };
}

/** The first line of an instance's output, once it is whole. */
function said(runtime: Runtime, id: string): Promise<string> {
  return eventually(async () => {
    const output = await runtime.output(id, 1_000);
    return output.includes('\n') && output;
  }) as Promise<string>;
}

function unfinished(stateDir: string): string[] {
  return readdirSync(join(stateDir, 'images')).filter((name) => name.startsWith('new-'));
}
