import { once } from 'node:events';
import { connect } from 'node:net';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { int, type Random, seeded } from '../../scripts/load/random.js';
import { install, spawnDaemon, until } from '../fixtures/daemon.js';
import { mutatedRequests } from '../fixtures/mutated-requests.js';
import { ask, instances } from '../fixtures/request.js';
import { metric, rssMiB, socketsOf } from '../fixtures/vital-signs.js';

/** FASTCONTAINER_FUZZ_SECONDS lengthens it; FASTCONTAINER_TEST_SEED repeats it. */
const seconds = Number(process.env['FASTCONTAINER_FUZZ_SECONDS'] ?? 5);
const seed = Number(process.env['FASTCONTAINER_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 32));
const perBatch = 50;
const endLimitMs = 60_000;

t.test('whatever bytes clients send, the daemon goes on, every connection ends, and memory stays flat', async (t) => {
  t.comment(`seed ${seed}, ${seconds} s`);
  const command = [process.execPath, resolve('dist/scripts/load/app.js'), 'fuzz'];
  const installation = await install(t, { http: { headersTimeout: '2s' } }, { fuzz: { command } });
  const { child, port, admin, log } = await spawnDaemon(t, installation, '--stop-apps');
  const pid = child.pid as number;
  t.equal((await ask(port, 'fuzz.localhost')).status, 200);
  const sockets = socketsOf(pid);
  const random = seeded(seed);
  const endAt = performance.now() + seconds * 1_000;
  let batches = 0;
  let early = 0;
  for (; performance.now() < endAt; batches += 1) {
    const payloads = Array.from({ length: perBatch }, () => mutatedRequests(random));
    const unended = (await Promise.all(payloads.map((payload) => fuzz(port, payload, random)))).filter(Boolean);
    if (unended.length > 0) return t.fail(`a connection did not end; it had sent ${JSON.stringify(unended[0])}`);
    const probe = await ask(port, 'fuzz.localhost', '/echo?nonce=probe').catch((error: unknown) => {
      const fatal = log.find(({ level }) => level === 'fatal');
      throw new Error(`after batch ${batches} nobody answers: ${JSON.stringify(fatal)}`, { cause: error });
    });
    if (probe.status !== 200 || JSON.parse(probe.body).nonce !== 'probe') {
      return t.fail(`after batch ${batches} the probe was answered with ${probe.status} ${probe.body}`);
    }
    if (performance.now() < endAt - seconds * 700) early = rssMiB(pid);
  }
  const late = rssMiB(pid);
  t.comment(`${batches} batches of ${perBatch} connections; RSS ${early.toFixed(0)} and later ${late.toFixed(0)} MiB`);
  t.equal(child.exitCode, null);
  if (early > 0) t.ok(late < early * 1.5 + 48, `${late} MiB, ${early} early on`);
  await until(async () => (await instances(admin, 'fuzz')).every(({ inflight }) => inflight === 0));
  await until(async () => (await metric(admin, /^fastcontainer_queue_length\b/)) === 0);
  await until(() => socketsOf(pid) <= sockets + 2);
  child.kill('SIGTERM');
  t.same(await once(child, 'exit'), [0, null]);
});

/** Sends bytes in random pieces, then ends its side. Resolves to the bytes where the other side does not end in time. */
async function fuzz(port: number, payload: Buffer, random: Random): Promise<string | undefined> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.resume();
  const closed = new Promise<boolean>((resolve) => socket.once('close', () => resolve(true)));
  for (let at = 0; at < payload.length && !socket.destroyed;) {
    const next = random() < 0.5 ? payload.length : at + 1 + int(random, 200);
    socket.write(payload.subarray(at, next));
    at = next;
    if (random() < 0.3) await sleep(int(random, 10));
  }
  if (random() < 0.1) socket.resetAndDestroy();
  else socket.end();
  const limit = new AbortController();
  const late = sleep(endLimitMs, false, { signal: limit.signal, ref: false }).catch(() => false);
  const ended = await Promise.race([closed, late]);
  limit.abort();
  socket.destroy();
  return ended ? undefined : payload.toString('latin1');
}
