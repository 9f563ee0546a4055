import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer } from 'node:tls';
import t, { type Test } from 'tap';
import { dockerWarnings } from '../../../src/runtime/docker.js';
import { systemClock } from '../../../src/machine/system-clock.js';
import { type TestDocker, useDocker } from '../../fixtures/docker.js';
import { testImage } from '../../fixtures/docker-image.js';
import { eventually } from '../../fixtures/eventually.js';
import { bootApp, dockerApp, openRuntime } from './open-runtime.js';

t.test('an engine behind TLS', async (t) => {
  const engine = await useDocker(t);
  if (!engine) return;
  const files = makeCertificates(t);
  const remote = { host: '127.0.0.1', port: await serveTls(t, engine, files) };
  const common = { ...remote, network: 'not-made-yet', clock: systemClock };

  t.test('is used by whoever has its certificates', async (t) => {
    const tls = { ca: files('ca.pem'), cert: files('client.pem'), key: files('client.key') };
    t.match((await dockerWarnings({ ...common, tls })).at(-1), /the engine is on another machine[^]*-j REJECT/);
    const image = await testImage(engine.docker, 'busybox');
    const { runtime } = openRuntime(t, engine, { ...remote, tls });
    const seen: string[] = [];
    runtime.watch(({ cause }) => void seen.push(cause));
    const { id } = await bootApp(runtime, dockerApp({ image }));
    await runtime.stop(id, 0);
    await eventually(() => seen.length > 0);
  });

  t.test('is refused where its certificate is not signed by the authority', async (t) => {
    const refused = dockerWarnings({ ...common, tls: { ca: files('other.pem') } });
    await t.rejects(refused, /Docker Engine at https:\/\/127\.0\.0\.1:\d+ cannot be reached .*(certificate|signature)/);
  });

  t.test('refuses whoever has no certificate, or speaks no TLS', async (t) => {
    await t.rejects(dockerWarnings({ ...common, tls: { ca: files('ca.pem') } }), /cannot be reached/);
    await t.rejects(dockerWarnings(common), /Docker Engine at tcp:\/\/127\.0\.0\.1:\d+ cannot be reached/);
  });
});

function makeCertificates(t: Test): (name: string) => string {
  const folder = mkdtempSync(join(tmpdir(), 'fastcontainer-tls-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  for (const name of ['ca', 'other']) {
    const files = ['-keyout', `${name}.key`, '-out', `${name}.pem`];
    openssl('req', '-x509', ...newKey, ...files, '-days', '2', '-subj', `/CN=test ${name}`);
  }
  writeFileSync(join(folder, 'names'), 'subjectAltName=IP:127.0.0.1');
  for (const name of ['server', 'client']) {
    openssl('req', ...newKey, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', `/CN=${name}`);
    const authority = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-extfile', 'names'];
    openssl('x509', '-req', '-in', `${name}.csr`, '-out', `${name}.pem`, '-days', '2', ...authority);
  }
  return (name) => join(folder, name);
}

/** What dockerd does with --tlsverify, in front of the engine's socket. */
async function serveTls(t: Test, engine: TestDocker, files: (name: string) => string): Promise<number> {
  const [ca, cert, key] = ['ca.pem', 'server.pem', 'server.key'].map((name) => readFileSync(files(name)));
  const server = createServer({ ca, cert, key, requestCert: true, rejectUnauthorized: true }, (client) => {
    const upstream = connect(engine.socketPath);
    client.pipe(upstream).pipe(client);
    client.on('error', () => upstream.destroy()).on('close', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}
