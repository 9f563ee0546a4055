import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { ProcessHost } from '../../../src/runtime/process/findings.js';
import { processFindings } from '../../../src/runtime/process/findings.js';
import { readCredentials } from '../../../src/runtime/kept/credentials.js';
import { capabilitiesFault, groupsFault, keptGroups, runAs } from '../../../src/runtime/kept/run-as.js';
import { AutoUsers } from '../../../src/runtime/kept/auto-users.js';
import { testApp } from '../../fixtures/app.js';
import { eventually } from '../../fixtures/eventually.js';
import { boot, shell, useProcesses } from './open-processes.js';

const isRoot = process.getuid?.() === 0;
const needsRoot = { skip: !isRoot && 'needs root' };

const root = { uid: 0, gid: 0, groups: [0, 999], ambient: 0n, inheritable: 0n };
const plain = { uid: 1_000, gid: 1_000, groups: [1_000, 27, 999], ambient: 0n, inheritable: 0n };
const databases = {
  passwd: 'root:x:0:0:root:/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n',
  group: 'root:x:0:\nsudo:x:27:ann\ndocker:x:999:ann\nann:x:1000:\n',
};
const range = { from: 300_000, to: 300_099 };

t.test('an app without a user is refused under root, with what to write', needsRoot, async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const { user: _none, ...nobody } = testApp({ command: ['id'] });
  const spec = { id: 'nobody-1', app: nobody, revision: '1' };
  const options = { signal: new AbortController().signal, onPhase: () => {} };
  await t.rejects(runtime.boot(spec, options), { message: /app shop.*no user is named; write 'user: auto'/ });
  t.same(await processes.traces(), [], 'and leaves nothing');
});

t.test('user: auto gives each app a number of its own, the same after a restart', needsRoot, async (t) => {
  const processes = await useProcesses(t);
  const users = { from: 1_900_000_010, to: 1_900_000_019 };
  const who = async (name: string) => {
    const runtime = await processes.open({ users });
    const { id } = await boot(runtime, { name, user: 'auto', ...shell('echo $(id -u) $(id -g) $(id -G)') });
    await eventually(async () => (await runtime.inspect(id)).state === 'exited');
    return (await runtime.output(id, 1_000)).trim();
  };
  t.equal(await who('one'), '1900000010 1900000010 1900000010');
  t.equal(await who('two'), '1900000011 1900000011 1900000011');
  t.equal(await who('one'), '1900000010 1900000010 1900000010');
});

t.test('dispatchers that give users at once give each app one, and no two apps the same', async (t) => {
  const directory = join(t.testdir(), 'users');
  const registries = Array.from({ length: 4 }, () => new AutoUsers({ directory, cmdbName: 'test', range }));
  await Promise.all(registries.map((registry) => registry.open()));
  const apps = Array.from({ length: 12 }, (_, index) => `app-${index}`);
  const given = await Promise.all(registries.map((registry) => Promise.all(apps.map((app) => registry.of(app)))));
  for (const other of given) t.same(other, given[0]);
  t.equal(new Set(given[0]).size, apps.length);
  const left = (await readdir(directory)).filter((file) => /^\d+$/.test(file));
  t.equal(left.length, apps.length, 'what was claimed in vain is given back');
});

t.test('a number is never given twice, and the last one says what to do', async (t) => {
  const directory = join(t.testdir(), 'users');
  const few = { directory, cmdbName: 'test', range: { from: 300_000, to: 300_001 } };
  const users = new AutoUsers(few);
  await users.open();
  t.same([await users.of('a'), await users.of('b')], [300_000, 300_001]);
  await t.rejects(users.of('c'), { message: /none is given twice; widen runtimes.process.users/ });
  const later = new AutoUsers(few);
  t.equal(await later.of('b'), 300_001);
  const files = await readdir(directory);
  t.match(
    JSON.parse(
      await readFile(
        join(
          directory,
          files.find((file) => file.startsWith('app-'))!,
        ),
        'utf8',
      ),
    ),
    {
      cmdb: 'test',
      id: Number,
    },
  );
});

t.test('two installations that share a directory have users of their own', async (t) => {
  const directory = join(t.testdir(), 'users');
  const [one, two] = ['one', 'two'].map((cmdbName) => new AutoUsers({ directory, cmdbName, range })) as [
    AutoUsers,
    AutoUsers,
  ];
  await one.open();
  t.not(await one.of('shop'), await two.of('shop'));
});

t.test('credentials are read from what the kernel says, also of a process without groups', async (t) => {
  const status = (groups: string) =>
    `Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t${groups}\nNStgid:\t77\nCapInh:\t00000000000000c0\nCapEff:\t0000000000000000\nCapAmb:\t0000000000000400\n`;
  const found = { uid: 2, gid: 6, ambient: 0x400n, inheritable: 0xc0n };
  t.same(readCredentials(status('4 27 ')), { ...found, groups: [4, 27] });
  t.same(readCredentials(status(' ')), { ...found, groups: [] });
});

t.test('under root a user is required; root has to be written', async (t) => {
  t.throws(() => runAs(undefined, root, databases), { message: /user: auto/ });
  t.same(runAs('auto', root, databases), { auto: true });
  t.match(runAs('root', root, databases), { account: { uid: 0, gid: 0 } });
  t.match(runAs('0', root, databases), { account: { uid: 0, gid: 0 } });
});

t.test('without root an app is the daemon, whether it says auto or nothing', async (t) => {
  t.match(runAs(undefined, plain, databases), { account: { uid: 1_000, gid: 1_000 } });
  t.match(runAs('auto', plain, databases), { account: { uid: 1_000, gid: 1_000 } });
  t.match(runAs('ann', plain, databases), { account: { uid: 1_000, home: '/home/ann' } });
  t.throws(() => runAs('root', plain, databases), { message: /needs the dispatcher to run as root/ });
});

t.test('groups that are as good as root are kept from apps, or nothing is started', async (t) => {
  t.match(groupsFault(plain, databases, false), /group docker.*inheritGroups: true/);
  t.equal(groupsFault(plain, databases, true), undefined, 'the main file says so');
  t.equal(groupsFault({ ...plain, groups: [1_000, 27] }, databases, false), undefined, 'harmless ones pass');
  t.match(groupsFault({ ...plain, gid: 999, groups: [] }, databases, false), /docker/, 'as its own group');
  t.equal(groupsFault(root, databases, false), undefined, 'root drops them');
  const setgid = { ...plain, ambient: 1n << 6n };
  t.equal(groupsFault(setgid, databases, false), undefined, 'and so does one that may');
  t.same(keptGroups(setgid), []);
  t.same(keptGroups(plain), [27, 999]);
});

t.test('without setpriv a daemon with capabilities starts nothing, and check says so', async (t) => {
  const able = { ...plain, groups: [], ambient: 0x400n };
  t.match(capabilitiesFault(able, undefined), /capabilities \(ambient 0x400\).*install util-linux/);
  t.match(capabilitiesFault({ ...able, ambient: 0n, inheritable: 1n }, undefined), /inheritable 0x1/);
  t.equal(capabilitiesFault(able, '/usr/bin/setpriv'), undefined, 'which drops them');
  t.equal(capabilitiesFault(plain, undefined), undefined, 'without any there is nothing to hand on');
  const found = processFindings({ ...options, apps: [named('a')] }, host({ daemon: able, setpriv: undefined }));
  t.match(found.problems, [/ambient 0x400/]);
});

const host = (changes: Partial<ProcessHost> = {}): ProcessHost => ({
  ...{ daemon: root, ...databases, subuid: '', subgid: '', loginDefs: 'UID_MIN 1000\nUID_MAX 60000\n' },
  ...{
    groups: { areAvailable: true, missing: [] },
    setpriv: '/usr/bin/setpriv',
    scratchObstacle: undefined,
    hasPidNamespaces: true,
  },
  ...changes,
});
const options = { users: range, inheritGroups: false, pidNamespace: true };
const named = (name: string, user?: string) => {
  const { user: _none, ...rest } = testApp({ name });
  return user === undefined ? rest : { ...rest, user };
};

t.test('check names an app without user, root, and apps that share one', async (t) => {
  const apps = [named('a'), named('a2'), named('b', 'root'), named('c', 'ann'), named('d', '1000'), named('e', 'auto')];
  t.match(processFindings({ ...options, apps }, host()), {
    problems: [/^apps a, a2: .*user: auto/],
    warnings: [/^app b: runs as root/, /^apps c, d: run as one user \(1000\)/],
  });
});

t.test('check says what a daemon without root means, and names its groups', async (t) => {
  const apps = [named('a', 'auto')];
  const daemon = { ...plain, groups: [27] };
  t.match(processFindings({ ...options, apps }, host({ daemon })), {
    problems: [],
    warnings: [/not root.*own user \(1000\), with its groups \(sudo\)/],
  });
  t.match(processFindings({ ...options, apps }, host({ daemon: plain })).problems, [/group docker/]);
});

t.test('check names what else uses the numbers of the range', async (t) => {
  const found = processFindings(
    { ...options, apps: [named('a', 'auto')] },
    host({
      group: 'x:x:300005:\n',
      subuid: 'ann:100000:65536\nbob:300050:65536\n',
      loginDefs: 'UID_MIN 1000\nUID_MAX 300000\n',
    }),
  );
  t.match(found.warnings, [/300005/, /\/etc\/subuid gives to bob/, /useradd gives, 1000-300000/]);
  t.equal(found.warnings.length, 3);
});

t.test('check says what a host without control groups or setpriv does not keep', async (t) => {
  const apps = [named('a', 'auto')];
  const none = { areAvailable: false, missing: ['memory', 'pids', 'cpu'] };
  const limits = /limits of memory, pids, cpu are not enforced/;
  const closed = host({ groups: none, hasPidNamespaces: false });
  t.match(processFindings({ ...options, apps }, closed).warnings, [limits, /without control groups.*outlives/]);
  const spaced = processFindings({ ...options, apps }, host({ groups: none })).warnings;
  t.match(spaced, [limits]);
  t.equal(spaced.length, 1, 'a pid namespace holds what a control group would');
  const off = processFindings({ ...options, pidNamespace: false, apps }, host({ groups: none })).warnings;
  t.match(off, [limits, /outlives its instance; remove runtimes.process.pidNamespace: false/]);
  const some = { areAvailable: true, missing: ['cpu'] };
  t.match(processFindings({ ...options, apps }, host({ groups: some })).warnings, [/limits of cpu are not enforced/]);
  const bare = { ...host(), setpriv: undefined };
  t.match(processFindings({ ...options, apps }, bare).warnings, [/install util-linux/]);
});
