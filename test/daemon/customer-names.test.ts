import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { parse, stringify } from 'yaml';
import { fetchAdmin } from '../fixtures/admin.js';
import { appUser } from '../fixtures/app-user.js';
import { until, webApp } from '../fixtures/daemon.js';
import { type Machine, startMachine } from '../fixtures/machine.js';
import { startRedis } from '../fixtures/redis.js';

const plan = { runtime: 'process', user: appUser, stopTimeout: '2s' };
const command = [process.execPath, webApp];

/** A machine that takes files of customers, `srv/CUSTOMER/app.yaml`, beside those of its operator. */
async function start(
  t: Test,
  host: 'a' | 'b',
  url: string,
  files: {
    operator?: Record<string, Record<string, unknown>>;
    customers?: Record<string, Record<string, unknown>>;
    /** Directory of its customers, if it is not `srv` beside its main file. */
    srv?: string;
    inside?: readonly string[];
  },
): Promise<Machine> {
  const address = { a: '127.0.0.2', b: '127.0.0.3' }[host];
  const { operator = {}, customers = {}, srv = './srv', inside = [] } = files;
  return startMachine(t, {
    ...{ host, address, cmdb: { url, name: 'names' }, apps: operator, inside },
    afterInstall: async ({ dir, file }) => {
      const main = parse(await readFile(file, 'utf8')) as object;
      const entry = { path: `${srv}/*/app.yaml`, trust: 'customer', domains: '*.customers.localhost', plan: 'small' };
      await writeFile(file, stringify({ ...main, apps: ['./apps/*.yaml', entry], plans: { small: plan } }));
      for (const [name, spec] of Object.entries(customers)) await writeCustomer(join(dir, 'srv'), name, spec);
    },
  });
}

async function writeCustomer(srv: string, customer: string, spec: Record<string, unknown>): Promise<void> {
  const file = join(srv, customer, 'app.yaml');
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, stringify({ command, ...spec }));
}

async function reload({ child, log }: Machine): Promise<void> {
  const reloads = () => log.filter(({ msg }) => msg === 'reloaded').length;
  const before = reloads();
  child.kill('SIGHUP');
  await until(() => reloads() > before || undefined);
}

const srvOf = ({ installation }: Machine) => join(installation.dir, 'srv');
const refusals = ({ log }: Machine) =>
  log.filter(({ msg }) => /belongs to somebody else; the customer's file was not applied/.test(String(msg)));
const greeting = async (machine: Machine, domain: string) => (await machine.identity(domain)).greeting;

t.test("a customer's file takes no app of another machine's operator, whatever is done to it", async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const a = await start(t, 'a', redis.url, { operator: { hello: { env: { GREETING: 'operator' } } } });
  const stolen = { name: 'hello', domains: ['hello.customers.localhost'], env: { GREETING: 'stolen' } };
  const honest = { name: 'honest', domains: ['honest.customers.localhost'], env: { GREETING: 'honest' } };
  const b = await start(t, 'b', redis.url, { customers: { c1: stolen, c2: honest } });

  t.match(await until(() => refusals(b)[0]), {
    app: 'hello',
    heldBy: 'a',
    file: /srv\/c1\/app.yaml$/,
    msg: /app hello came from a file of a .*give its app another name/,
  });
  t.equal(await greeting(b, 'honest.customers.localhost'), 'honest', "the other customer's file is taken");
  const ready = await fetchAdmin(`${b.admin}/readyz`);
  t.equal(ready.status, 200);
  t.match(await ready.json(), { checks: { apps: { ok: true, detail: /1 refused: app hello/ } } });
  const check = ['dist/src/main.js', 'check', '--config', b.installation.file];
  await t.rejects(promisify(execFile)(process.execPath, check), {
    code: 1,
    stderr: /srv\/c1\/app.yaml: app hello came/,
  });

  await writeCustomer(srvOf(b), 'c1', { ...stolen, idleTtl: '5m' });
  await reload(b);
  await until(() => refusals(b).length > 1 || undefined);
  t.equal(await greeting(a, 'hello.localhost'), 'operator', 'nor by a change');
  t.equal((await b.ask('hello.customers.localhost')).status, 404);

  await rm(join(b.installation.dir, 'srv', 'c1'), { recursive: true });
  await reload(b);
  t.equal(await greeting(b, 'hello.localhost'), 'operator', 'nor does it go with the file');
  t.same(refusals(a), [], 'on the other machine nothing is said');
});

t.test("a customer's file takes no app of a customer of another machine, and gives way to an operator's", async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const app = (greeting: string) => ({
    ...{ name: 'shop', domains: ['shop.customers.localhost'], env: { GREETING: greeting } },
  });
  const b = await start(t, 'b', redis.url, { customers: { c1: app('first') } });
  t.equal(await greeting(b, 'shop.customers.localhost'), 'first');
  const a = await start(t, 'a', redis.url, { customers: { c2: app('second') } });
  await until(() => refusals(a)[0]);
  await writeCustomer(srvOf(a), 'c2', { ...app('third'), idleTtl: '5m' });
  await reload(a);
  await until(() => refusals(a).length > 1 || undefined);
  t.equal(await greeting(a, 'shop.customers.localhost'), 'first');

  await rm(join(a.installation.dir, 'srv', 'c2'), { recursive: true });
  await reload(a);
  t.equal(await greeting(a, 'shop.customers.localhost'), 'first', 'nor does it go with the file');
  await a.changeApp('shop', { domains: ['shop.customers.localhost'], env: { GREETING: 'operator' } });
  await until(async () => (await greeting(b, 'shop.customers.localhost')) === 'operator' || undefined);
  await writeCustomer(srvOf(b), 'c1', app('again'));
  await reload(b);
  await until(() => refusals(b)[0]);
  t.equal(await greeting(b, 'shop.customers.localhost'), 'operator');
});

t.test("a customer's app stays while one of two machines has its file, whichever loses it", async (t) => {
  if (process.getuid?.() !== 0) return t.comment('skipped: only root can give each machine a file system of its own');
  const redis = await startRedis(t);
  if (!redis) return;
  const names = ['one', 'two', 'three'];
  const directory = async () => {
    const path = await mkdtemp(join(tmpdir(), 'fastcontainer-srv-'));
    t.teardown(() => rm(path, { recursive: true, force: true }));
    await chmod(path, 0o755);
    return path;
  };
  /** The path of the customers' files on both machines, which each has files of its own at. */
  const shared = await directory();
  const machine = async (host: 'a' | 'b') => {
    const own = await directory();
    for (const name of names) {
      await writeCustomer(own, name, { name, domains: [`${name}.customers.localhost`], env: { GREETING: name } });
    }
    const inside = ['unshare', '--mount', 'sh', '-c', 'mount --bind "$0" "$1" && shift && exec "$@"', own, shared];
    return { own, ...(await start(t, host, redis.url, { srv: shared, inside })) };
  };
  const [a, b] = [await machine('a'), await machine('b')];
  t.same([...refusals(a), ...refusals(b)], []);
  for (const [name, loser, keeper] of [
    ['one', a, b],
    ['two', b, a],
  ] as const) {
    const domain = `${name}.customers.localhost`;
    await rm(join(loser.own, name), { recursive: true });
    await reload(loser);
    await until(() => loser.log.some(({ msg }) => /files of other machines have them/.test(String(msg))) || undefined);
    t.equal(await greeting(keeper, domain), name);
    t.equal(await greeting(loser, domain), name);
    await rm(join(keeper.own, name), { recursive: true });
    await reload(keeper);
    await until(async () => (await keeper.ask(domain)).status === 404 || undefined);
  }
});
