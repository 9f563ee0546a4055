import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { egressScript, nameserversIn } from '../../../src/runtime/network/egress-rules.js';
import { containerName } from '../../../src/runtime/docker/labels.js';
import { listenersIn } from '../../../src/runtime/docker/host-listeners.js';
import { useDocker } from '../../fixtures/docker.js';
import { testImage } from '../../fixtures/docker-image.js';
import { eventually } from '../../fixtures/eventually.js';
import { dockerApp, openRuntime } from './open-runtime.js';

const metadataAddress = '169.254.169.254';

t.test('what a container can reach', async (t) => {
  const engine = await useDocker(t);
  if (!engine) return;
  if (engine.init === undefined) return t.comment('skipped: no firewall of the engine of this machine is touched');
  const host = new EngineHost(t, engine.init);
  const image = await testImage(engine.docker, 'busybox');
  await host.serve(engine.host, 7001);
  await host.serve(engine.host, 7002);
  await host.serveMetadata();
  const world = await serveWorld(t, engine.host);

  /** Boots in the engine's own network namespace and says what a container there can connect to. */
  const boot = async (t: Test, options: object) => {
    const { network, cmdbName } = openRuntime(t, engine);
    const all = {
      socketPath: engine.socketPath,
      network,
      cmdbName,
      installation: cmdbName,
      hostRulesPeriodMs: 200,
      ...options,
    };
    const { id, log } = await host.boot(t, all, dockerApp({ image }));
    const reaches = async (to: string, port: number, ...flags: string[]) => {
      const command = ['nc', ...flags, '-w', '2', to, String(port)];
      const exec = await engine.docker
        .getContainer(containerName(id))
        .exec(['sh', '-c', `${command.join(' ')} </dev/null`]);
      return exec.exitCode === 0;
    };
    return { id, log, network, reaches };
  };

  t.test('without the rules it is the services of the host and the credentials of its cloud', async (t) => {
    const { reaches } = await boot(t, { hostRules: 'off' });
    t.ok(await eventually(() => reaches(engine.host, 7001)));
    t.ok(await eventually(() => reaches(metadataAddress, 80)));
    t.ok(await eventually(() => reaches(world.host, world.port)));
  });

  t.test('with them it is the world, what is allowed of the host, and nothing else', async (t) => {
    const { reaches, log, network } = await boot(t, { allowHost: ['7002'] });
    t.ok(log.some(({ msg }) => msg === 'containers are kept from the services of this host'));
    const gateway = (await engine.docker.getNetwork(network).inspect()).IPAM?.Config?.[0]?.Subnet?.replace(
      '.0/24',
      '.1',
    );
    await host.serve(gateway ?? '', 7003);
    t.equal(await reaches(engine.host, 7001), false, 'a service of the host');
    t.equal(await reaches(gateway ?? '', 7003), false, 'one on the address of the bridge');
    t.equal(await reaches(metadataAddress, 80), false, 'the metadata address');
    t.ok(await eventually(() => reaches(engine.host, 7002)), 'a service that is allowed');
    await host.serve(gateway ?? '', 7002);
    t.ok(await eventually(() => reaches('host.docker.internal', 7002)), 'by its name');
    t.ok(await eventually(() => reaches(world.host, world.port)), 'the world');
  });

  t.test('over IPv6 the host is as closed, at the address of the bridge and at its link-local one', async (t) => {
    if (host.run('cat', '/proc/net/if_inet6') === '') return t.comment('skipped: this machine has no IPv6');
    const network = `six-${randomBytes(4).toString('hex')}`;
    const subnet = `fd00:${randomBytes(2).toString('hex')}:${randomBytes(2).toString('hex')}::`;
    await engine.docker.createNetwork({
      ...{ Name: network, Driver: 'bridge', EnableIPv6: true, IPAM: { Config: [{ Subnet: `${subnet}/64` }] } },
      Options: { 'com.docker.network.bridge.enable_icc': 'false' },
    });
    t.teardown(() => engine.docker.getNetwork(network).remove());
    await host.serve('[::]', 7004, '::1');
    await host.serve('[::]', 7005, '::1');
    for (const hostRules of ['off', 'auto']) {
      await t.test(`with hostRules: ${hostRules}`, async (t) => {
        const { reaches, id } = await boot(t, { network, hostRules, allowHost: ['7005'] });
        const { Id } = await engine.docker.getNetwork(network).inspect();
        const bridge = `br-${Id.slice(0, 12)}`;
        const local = /inet6 (fe80:\S+)\/64/.exec(host.run('ip', '-6', 'addr', 'show', 'dev', bridge))?.[1];
        // An address is not used before it is known to be free.
        const show = ['ip', '-6', 'addr', 'show', 'dev', 'eth0'];
        const container = engine.docker.getContainer(containerName(id));
        await eventually(async () => !(await container.exec(show)).output.includes('tentative'));
        for (const address of [`${subnet}1`, `${local}%eth0`]) {
          // Neighbour discovery works, as what is allowed shows.
          await eventually(() => reaches(address, 7005));
          t.equal(await reaches(address, 7004), hostRules === 'off', `a service of the host at ${address}`);
        }
      });
    }
  });

  t.test('the host reaches the container, and a firewall that was flushed is closed again', async (t) => {
    const { id, reaches } = await boot(t, {});
    const { NetworkSettings } = await engine.docker.getContainer(containerName(id)).inspect();
    const { IPAddress: address = '' } = Object.values(NetworkSettings.Networks)[0] ?? {};
    await eventually(async () => host.run('busybox', 'nc', '-w', '2', address, '8080') === '');
    t.equal(await reaches(engine.host, 7001), false);
    host.flush();
    await eventually(async () => !(await reaches(engine.host, 7001)));
    t.equal(await reaches(metadataAddress, 80), false);
    const jumps = host.run('iptables', '-S', 'INPUT').match(/-j FC-fc-/g);
    t.equal(jumps?.length, 1, 'what is put again and again is there once');
  });
});

t.test('look-ups of names pass, also to a nameserver that is the host or the metadata address', async (t) => {
  const text = 'search a\nnameserver 169.254.169.254\nnameserver 127.0.0.53\nnameserver ::1\n nameserver fd00::1 \n';
  t.same(nameserversIn(text), ['169.254.169.254', 'fd00::1']);
  const plan = { bridge: 'fc-0', allowHost: ['53/udp'], nameservers: nameserversIn(text) };
  const [v4, v6] = [egressScript(plan, 'iptables'), egressScript(plan, 'ip6tables')];
  const before = (rules: string, first: string, second: string) =>
    rules.includes(first) && rules.includes(second) && rules.indexOf(first) < rules.indexOf(second);
  t.ok(before(v4, '-A FC-fc-0-out -d 169.254.169.254 -p udp --dport 53 -j RETURN', '-d 169.254.0.0/16 -j REJECT'));
  t.ok(before(v4, '-A FC-fc-0-host -p udp --dport 53 -j RETURN', '-A FC-fc-0-host -j REJECT'));
  t.ok(before(v6, '-A FC-fc-0-out -d fd00::1 -p tcp --dport 53 -j RETURN', '-d fe80::/10 -j REJECT'));
  t.notMatch(v6, /169\.254/);
});

t.test('what listens beyond the loopback is listed', async (t) => {
  const line = (address: string, state = '0A') =>
    `   0: ${address} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000     0        0 1 1 0`;
  const tables = [
    '  sl  local_address rem_address   st',
    ...['00000000:0016', '0100007F:0CEA', '0105000A:1F90', '00000000:9999'].map((at, i) =>
      line(at, i === 3 ? '01' : '0A'),
    ),
    ...['00000000000000000000000000000000:0016', '00000000000000000000000001000000:1771'].map((at) => line(at)),
    line('0000000000000000FFFF00000100007F:1772'),
  ];
  t.same(listenersIn(tables.join('\n').replaceAll(' 00000000:0000 0A', ' 00000000:0000 0A')), [22, 8080]);
});

/** The machine of a private engine, as its namespaces make it one. */
class EngineHost {
  readonly #t: Test;
  readonly #init: number;

  constructor(t: Test, init: number) {
    this.#t = t;
    this.#init = init;
  }

  /** As a firewall does that is loaded anew; the way that the tests of this engine have to their containers stays. */
  flush(): void {
    const rules = ['-F INPUT', '-F DOCKER-USER', '-A DOCKER-USER -i eth0 -j ACCEPT', '-A DOCKER-USER -j RETURN'];
    const script = ["iptables-restore -w 5 --noflush <<'END'", '*filter', ...rules, 'COMMIT', 'END', ''].join('\n');
    this.run('sh', '-c', script);
  }

  /** Runs a program there and resolves to its output. */
  run(...command: string[]): string {
    return execFileSync('nsenter', [...this.#enter(), ...command], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  /** Something that accepts connections there. */
  async serve(address: string, port: number, reachedAt = address): Promise<void> {
    this.#keep(
      spawn('nsenter', [...this.#enter(), 'busybox', 'httpd', '-f', '-p', `${address}:${port}`, '-h', '/proc/self']),
    );
    await eventually(async () => this.run('busybox', 'nc', '-w', '2', reachedAt, String(port)) === '');
  }

  /** A machine of its own behind the engine's, at the address at which clouds answer with credentials. */
  async serveMetadata(): Promise<void> {
    const script =
      'ip link set lo up; until ip addr show dev eth0 | grep -q 169; do sleep 0.05; done; exec busybox httpd -f -p 80 -h /';
    const args = ['--pdeathsig', 'KILL', 'unshare', '--net', 'busybox', 'sh', '-c', script];
    const child = this.#keep(spawn('setpriv', args, { stdio: 'ignore' }));
    const own = `/proc/${child.pid}/ns/net`;
    await eventually(async () => readlinkSync(own) !== readlinkSync('/proc/self/ns/net'));
    const there = (...command: string[]) => execFileSync('nsenter', [`--net=${own}`, ...command]);
    this.run('ip', 'link', 'add', 'meta', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', String(child.pid));
    this.run('ip', 'addr', 'add', '169.254.169.1/24', 'dev', 'meta');
    this.run('ip', 'link', 'set', 'meta', 'up');
    there('ip', 'link', 'set', 'eth0', 'up');
    there('ip', 'route', 'add', 'default', 'dev', 'eth0');
    there('ip', 'addr', 'add', `${metadataAddress}/24`, 'dev', 'eth0');
    there('ip', 'route', 'replace', 'default', 'via', '169.254.169.1');
    await eventually(async () => this.run('busybox', 'nc', '-w', '2', metadataAddress, '80') === '');
  }

  async boot(t: Test, options: object, app: object) {
    const program = fileURLToPath(new URL('../../fixtures/boot-in-container.js', import.meta.url));
    const args = [...this.#enter(), process.execPath, program, JSON.stringify(options), JSON.stringify(app)];
    const child = spawn('nsenter', args, { stdio: ['pipe', 'pipe', 'inherit'] });
    t.teardown(async () => {
      const exit = once(child, 'exit');
      child.stdin.end();
      await exit;
    });
    const log: { readonly msg: string; readonly id?: string }[] = [];
    const lines = createInterface({ input: child.stdout }).on('line', (line) => void log.push(JSON.parse(line)));
    const ended = once(child, 'exit').then(() => Promise.reject(new Error(`it ended: ${JSON.stringify(log)}`)));
    while (!log.some(({ msg }) => msg === 'booted')) await Promise.race([once(lines, 'line'), ended]);
    ended.catch(() => undefined);
    return { id: log.find(({ msg }) => msg === 'booted')?.id ?? '', log };
  }

  #enter(): string[] {
    return ['--target', String(this.#init), '--net'];
  }

  #keep(child: ChildProcess): ChildProcess {
    this.#t.teardown(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exit = once(child, 'exit');
      child.kill('SIGKILL');
      await exit;
    });
    return child;
  }
}

/** Somebody in the world: for the engine's machine, that is this one. */
async function serveWorld(t: Test, engineHost: string): Promise<{ host: string; port: number }> {
  const host = engineHost.replace(/\.2$/, '.1');
  const server = createServer((socket) => socket.end());
  await new Promise<void>((resolve) => void server.listen(0, host, resolve));
  t.teardown(() => server.close());
  const address = server.address();
  return { host, port: typeof address === 'object' ? (address?.port ?? 0) : 0 };
}
