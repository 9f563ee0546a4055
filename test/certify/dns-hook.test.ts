import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { eventually } from '../fixtures/eventually.js';
import { DnsHook } from '../../src/certify/dns-hook.js';

const isRunning = (pid: number) => {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
};
const challenge = { token: 'abc', answer: 'abc.key' };
const never = new AbortController().signal;

async function hook(t: Test, script: string, timeoutMs = 30_000) {
  const dir = await mkdtemp(join(tmpdir(), 'fastcontainer-dns-'));
  t.teardown(() => rm(dir, { recursive: true, force: true }));
  const out = join(dir, 'out');
  await writeFile(join(dir, 'hook.sh'), script);
  return {
    dns: new DnsHook({ command: ['/bin/sh', join(dir, 'hook.sh'), out], timeoutMs }),
    read: () => readFile(out, 'utf8'),
  };
}

t.test('the command is told name and value of the record, as they are', async (t) => {
  const { dns, read } = await hook(
    t,
    'out=$1; shift; printf "%s|" "$@" >> "$out"; env | cut -d= -f1 | grep -vE "^(PWD|_|OLDPWD|SHLVL)$" >> "$out"',
  );
  await dns.set('shop.example; touch /tmp/x', challenge, never);
  await dns.unset('shop.example', challenge, never);
  const lines = (await read()).trim().split('\n');
  // The SHA-256 of `abc.key` in base64url.
  t.match(lines[0], /^set\|_acme-challenge\.shop\.example; touch \/tmp\/x\|[\w-]{43}\|/);
  t.same((await read()).match(/\b(?:un)?set\|/g), ['set|', 'unset|']);
  t.notMatch(await read(), /HOME|USER|KEY/, 'nothing of the environment of the daemon');
});

t.test('a command that fails says why, in few words', async (t) => {
  const { dns } = await hook(t, 'head -c 100000 /dev/zero | tr "\\0" x; printf "\\033[31mno such zone\\n" >&2; exit 3');
  const error: Error = await dns.set('shop.example', challenge, never).then(
    () => new Error('it did not fail'),
    (reason: Error) => reason,
  );
  t.match(error.message, /exit code 3 at set: .*no such zone/);
  t.ok(error.message.length < 700);
  t.notMatch(error.message, /\x1b/);
  const missing = new DnsHook({ command: ['/nowhere/hook'], timeoutMs: 1_000 });
  await t.rejects(missing.set('shop.example', challenge, never), /cannot be run/);
});

t.test('a command that takes too long ends, with what it has started', async (t) => {
  const { dns, read } = await hook(t, 'sleep 1000 & echo $! > "$1"; wait', 1_000);
  await t.rejects(dns.set('shop.example', challenge, never), /took more than 1000 ms/);
  const pid = Number(await read());
  // It may wait for its new parent to take note.
  await eventually(async () => !isRunning(pid));
});

t.test('a command ends with its order, with what it has started', async (t) => {
  const { dns, read } = await hook(t, 'sleep 1000 & echo $! > "$1"; wait');
  const order = new AbortController();
  const set = dns.set('shop.example', challenge, order.signal);
  const pid = await eventually(async () => Number(await read()));
  order.abort();
  await t.rejects(set, /was given up/);
  await eventually(async () => !isRunning(pid));
  await t.rejects(dns.set('shop.example', challenge, order.signal), { name: 'AbortError' });
});

t.test('a daemon without free descriptors survives that the command cannot be run', async (t) => {
  const script = `
    import { openSync } from 'node:fs';
    import { DnsHook } from '${new URL('../../src/certify/dns-hook.js', import.meta.url).href}';
    const dns = new DnsHook({ command: ['/bin/true'], timeoutMs: 30_000 });
    console.log('begins');
    try { for (;;) openSync('/dev/null', 'r'); } catch {}
    const fault = await dns.set('shop.example', { answer: 'abc.key' }, new AbortController().signal).catch((error) => error);
    setImmediate(() => console.log(fault.message));`;
  const { stdout } = await promisify(execFile)(
    '/bin/sh',
    ['-c', 'ulimit -n 64; exec "$0" --input-type=module -e "$1"', process.execPath, script],
    { env: {} },
  );
  t.match(stdout, /cannot be run: spawn .*EMFILE/);
});

const needsRoot = { skip: process.getuid?.() !== 0 && 'only root can run it as another user' };

t.test('the command runs as its user, without further groups', needsRoot, async (t) => {
  const command = ['/bin/sh', '-c', 'echo $(id -u) $(id -G); exit 1'];
  const dns = new DnsHook({ command, user: { uid: 65_534, gid: 65_534 }, timeoutMs: 30_000 });
  await t.rejects(dns.set('shop.example', challenge, never), /: 65534 65534$/);
});
