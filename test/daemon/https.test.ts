import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { fetchAdmin } from '../fixtures/admin.js';
import { makeCertificate, onePem } from '../fixtures/certificates.js';
import { install, type Installation, startDaemon } from '../fixtures/daemon.js';
import { eventually } from '../fixtures/eventually.js';
import { metric } from '../fixtures/metric.js';
import { askSecure, certificateFor, shake } from '../fixtures/secure.js';
import { installWorkers, spawnWorkers, workersOf } from './workers/spawn-workers.js';

const hello = await makeCertificate(['hello.localhost']);
const renewed = await makeCertificate(['hello.localhost', 'renewed.localhost']);

const tls = {
  listen: { http: '127.0.0.1:0', https: '127.0.0.1:0' },
  tls: { certificates: './certs/*.pem' },
};

async function put({ dir }: Installation, name: string, text: string): Promise<void> {
  await mkdir(join(dir, 'certs'), { recursive: true });
  await writeFile(join(dir, `${name}.new`), text);
  await rename(join(dir, `${name}.new`), join(dir, 'certs', name));
}

/** Which certificate of the two a client gets; whether it has the second name tells. */
async function isRenewed(port: number): Promise<boolean> {
  const socket = await shake(port, 'hello.localhost');
  const { subjectaltname = '' } = socket.getPeerCertificate();
  socket.destroy();
  return subjectaltname.includes('renewed.localhost');
}

async function checksOf(admin: string): Promise<Record<string, { ok: boolean; detail?: string }>> {
  const answer = (await (await fetchAdmin(`${admin}/readyz`)).json()) as { checks: Record<string, { ok: boolean }> };
  return answer.checks;
}

t.test('an app is reached over TLS, its certificate renewed without a break', async (t) => {
  const installation = await install(t, tls);
  await put(installation, 'hello.localhost.pem', onePem(hello));
  const { daemon, admin, log, httpsPort: https } = await startDaemon(t, installation);
  const answer = await askSecure(https, 'hello.localhost');
  t.equal(answer.status, 200);
  t.match(JSON.parse(answer.body), { headers: { 'x-forwarded-proto': 'https', 'x-forwarded-port': '443' } });
  t.equal(await isRenewed(https), false);
  const kept = await shake(https, 'hello.localhost');

  await put(installation, 'hello.localhost.pem', onePem(renewed));
  await eventually(() => isRenewed(https));
  t.equal(kept.destroyed, false, 'connections stay');
  kept.destroy();

  await put(installation, 'hello.localhost.pem', 'broken');
  await eventually(async () => (await checksOf(admin))['certificates']?.detail?.includes('holds no certificate'));
  t.equal((await checksOf(admin))['certificates']?.ok, true, 'the other domains have theirs');
  t.equal(await isRenewed(https), true, 'what it held last stays in use');
  t.ok(log.some(({ msg }) => String(msg).includes('hello.localhost.pem cannot be used')));
  t.equal(await metric(admin, 'fastcontainer_certificate_problems'), 1);

  await rm(join(installation.dir, 'certs', 'hello.localhost.pem'));
  await put(installation, 'other.pem', onePem(renewed));
  await eventually(async () => (await checksOf(admin))['certificates']?.detail === undefined);
  t.equal(await isRenewed(https), true);
  t.same(await certificateFor(https, 'nowhere.localhost'), { error: 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME' });
  await daemon.close();
});

t.test('workers have the same certificates and session tickets, also one that was replaced', async (t) => {
  const installation = await installWorkers(t, tls);
  await put(installation, 'hello.pem', onePem(hello));
  const spawned = await spawnWorkers(t, installation, '--stop-apps');
  const listening = spawned.log.find(({ msg }) => msg === 'listening') as unknown as { https: string[] };
  const https = Number(listening.https[0]?.split(':').at(-1));
  t.equal((await askSecure(https, 'hello.localhost')).status, 200);
  const first = await shake(https, 'hello.localhost', { maxVersion: 'TLSv1.2' });
  const session = first.getSession()!;
  first.destroy();
  const resumes = async () => {
    const socket = await shake(https, 'hello.localhost', { maxVersion: 'TLSv1.2', session });
    const isResumed = socket.isSessionReused();
    socket.destroy();
    return isResumed;
  };
  for (let count = 0; count < 6; count += 1) t.equal(await resumes(), true, 'whichever worker it is');
  await put(installation, 'hello.pem', onePem(renewed));
  // Each worker in its turn.
  await eventually(async () => {
    for (let count = 0; count < 6; count += 1) if (!(await isRenewed(https))) return false;
    return true;
  });
  const before = await workersOf(spawned);
  process.kill(before[0] as number, 'SIGKILL');
  await eventually(async () => {
    const now = await workersOf(spawned);
    return now.length === before.length && !now.includes(before[0] as number);
  });
  await eventually(() => spawned.log.some(({ msg }) => msg === 'the replacement of a worker serves'));
  for (let count = 0; count < 6; count += 1) {
    t.equal(await resumes(), true, 'the replacement too');
    t.equal(await isRenewed(https), true);
  }
});
