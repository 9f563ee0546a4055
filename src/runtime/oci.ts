import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { childrenOf, isRunning } from '../machine/proc-fs.js';
import { addressesOf, listeningSockets } from '../machine/proc-net.js';
import { textOf } from '../machine/text-of.js';
import type { App, Mount } from '../model/app.js';
import type { Address } from '../model/instance.js';
import { type OciImage, ociImage, ociImageExpects } from '../model/oci-image.js';
import { type Account, accountOf } from './kept/account.js';
import { Accounts } from './kept/accounts.js';
import { killGroup } from './kept/control-groups.js';
import { type Known, KeptRuntime, type KeptRuntimeOptions, type Plan, type Technology } from './kept/kept-runtime.js';
import { Leases } from './kept/leases.js';
import { isSafeId, type ProcessRecord } from './kept/records.js';
import { type MountOptions, type MountPolicy, mountPolicy, mountsFault, nestedFault } from './mounts/mount-policy.js';
import { sourcesFault } from './mounts/mount-source.js';
import { type EgressGuard, egressGuard, nameservers } from './network/egress-guard.js';
import { toNumber, toText } from './network/subnet.js';
import { bundle, filesOf, init } from './oci/bundle.js';
import { commandFault, isInImage, textInImage } from './oci/command.js';
import { ociObstacles } from './oci/findings.js';
import { Groups } from './oci/groups.js';
import { hostView } from './oci/host-view.js';
import { withImage } from './oci/image-config.js';
import { Images } from './oci/images.js';
import { launch, pathsIn } from './oci/launch.js';
import { gatewayOf, Network, rangeOf } from './oci/network.js';
import { pathsOfSandbox, Sandbox } from './oci/sandbox.js';
import { Sandboxes } from './oci/sandboxes.js';
import { messageOf } from './output/printable.js';
import type { InstanceSpec, Runtime } from './runtime.js';

export { ociFindings } from './oci/findings.js';

export interface OciRuntimeOptions extends KeptRuntimeOptions {
  /** The OCI runtime, by name or path. */
  readonly program: string;
  /** Directory of the CNI plugins. */
  readonly pluginDir: string;
  readonly bridge: string;
  readonly subnet: string;
  /** Services of the host that containers may reach, such as `3306` or `53/udp`. */
  readonly allowHost: readonly string[];
  readonly hostRules: 'auto' | 'off';
  /** What an instance may write to its own file systems. */
  readonly diskBytes: number;
  /** Limit of one image, and of those together that no container uses. */
  readonly imageBytes: number;
  readonly imagesBytes: number;
  /** How many sandboxes to keep ready for the next boots. */
  readonly sandboxes: number;
  /** Where the users of apps are noted, and which there are for `user: auto`. */
  readonly usersDir: string;
  readonly users: { readonly from: number; readonly to: number };
  readonly mounts: MountOptions;
}

const defaultPort = 8080;
/** How long the runtime may take to remove a container that has ended. */
const removeLimitMs = 10_000;

/**
 * Opens the runtime that runs apps as containers of this host by an OCI runtime (runc), and adopts those that run already. Throws an
 * Error that says what to install or change if this host cannot do that.
 */
export async function openOciRuntime(options: OciRuntimeOptions): Promise<Runtime> {
  const obstacles = await ociObstacles(options);
  if (obstacles.length > 0) throw new Error(`the oci runtime cannot be used: ${obstacles.join('; ')}`);
  const runtime = new KeptRuntime(options, new Containers(options));
  await runtime.open();
  return runtime;
}

/**
 * Containers of an OCI runtime. All namespaces and mounts of an instance belong to its processes and end with them (launch.ts); what
 * is kept on disk is named by the instance: its directory, the runtime's state, its control group, the lease of its address.
 */
class Containers implements Technology {
  readonly name = 'oci';
  readonly suspends = true;
  readonly #options: OciRuntimeOptions;
  readonly #accounts: Accounts;
  readonly #leases: Leases;
  readonly #sandboxes: Sandboxes;
  readonly #images: Images;
  readonly #guard: EgressGuard;
  readonly #policy: MountPolicy;
  readonly #directory: string;
  readonly #stateRoot: string;
  /** Directory on which each sandbox mounts its file systems. */
  readonly #fs: string;
  #known: Known | undefined;
  #groups = new Groups('');
  #network: Network | undefined;

  constructor(options: OciRuntimeOptions) {
    const { stateDir, cmdbName, usersDir, users, subnet, clock } = options;
    this.#options = options;
    this.#accounts = new Accounts({ directory: usersDir, cmdbName, range: users, inheritGroups: false });
    this.#leases = new Leases({
      ...{ directory: join(stateDir, 'addresses'), ...rangeOf(subnet), clock },
      ...{ noun: 'address', textOf: toText, remedy: 'give runtimes.oci.subnet more of them' },
      isKnown: async (id) => (await this.#known?.read(id)) !== undefined,
      isFree: async () => true,
    });
    this.#sandboxes = new Sandboxes({
      ...{ leases: this.#leases, count: options.sandboxes },
      make: (address, signal) => this.#makeSandbox(address, signal),
    });
    const { imageBytes: maxBytes, imagesBytes: keptBytes, logger } = options;
    this.#images = new Images({
      ...{ directory: join(stateDir, 'images'), maxBytes, keptBytes, clock, logger },
      inUse: async () => new Set(await this.#inDirectories<string>(imageFile)),
    });
    this.#guard = egressGuard({ ...options, isRemote: false, ownSubnet: subnet });
    this.#policy = mountPolicy(options.mounts);
    this.#directory = join(stateDir, 'containers');
    this.#stateRoot = join(stateDir, 'state');
    this.#fs = join(stateDir, 'fs');
  }

  async open(known: Known, id: string): Promise<void> {
    this.#known = known;
    this.#groups = new Groups(id);
    this.#groups.hold();
    this.#network = new Network({ ...this.#options, owner: id, guard: this.#guard });
    for (const path of [this.#directory, this.#stateRoot, this.#fs])
      await mkdir(path, { recursive: true, mode: 0o700 });
    await this.#accounts.open();
    await this.#leases.open();
    await this.#images.open();
    const found = await Promise.all([this.#directory, this.#stateRoot].map((path) => readdir(path)));
    for (const left of new Set([...found.flat(), ...this.#groups.ids()])) {
      if (!isSafeId(left) || (await known.has(left))) continue;
      killGroup(this.#groups.pathsOf(left));
      await this.#remove(left);
    }
  }

  makeReady(): void {
    // The network is made by the first boot, which reports what prevents it.
    this.#network?.ensure().catch(() => {});
  }

  async lease({ id, app }: InstanceSpec): Promise<Address> {
    return { host: await this.#sandboxes.lease(id), port: app.port ?? defaultPort };
  }

  free({ host }: Address, id: string): Promise<void> {
    this.#sandboxes.leave(id);
    return this.#leases.free(toNumber(host), id);
  }

  async plan(written: InstanceSpec, signal: AbortSignal): Promise<Plan> {
    const { id } = written;
    const { spec, image } = await this.#resolve(written, signal);
    const { app } = spec;
    const account = await this.#account(app, image);
    if (account.uid === 0 && written.app.user === undefined)
      throw new Error(`cannot run app ${app.name}: its image would make it root as ${app.user}; set 'user'`);
    await this.#refuse(app, image);
    await this.#network?.ensure();
    const groups = this.#groups.pathsOf(id);
    return {
      record: { uid: 0, groups },
      startAgain: () => this.#removeRun(id),
      start: async ({ host, port, secret = '' }, starting) => {
        const { program } = this.#options;
        const sandbox = await this.#sandboxes.of(id, host, starting.signal).catch((error: unknown) => {
          starting.signal.throwIfAborted();
          throw new Error(`cannot start app ${app.name}: ${messageOf(error)}`, { cause: error });
        });
        try {
          await this.#write(spec, image, account, { host, port }, sandbox);
          await this.#refuseNested(app, id);
          const lower = image.kind === 'host' ? undefined : image.path;
          const what = { app, id, directory: this.#pathOf(id), secret, sandbox, fs: this.#fs, lower };
          await launch({ ...what, runtime: program, stateRoot: this.#stateRoot }, starting);
        } finally {
          this.#sandboxes.leave(id);
        }
        this.#sandboxes.fill();
        this.#images.sweep();
      },
    };
  }

  /** An app that is process 1 and does not handle SIGTERM would never end by it, so that waiting is of no use. */
  async askToEnd(record: ProcessRecord, graceMs: number): Promise<number> {
    const pid = await this.#processOf(record);
    if (pid === undefined) return graceMs;
    if (!this.#hasShell(record.id)) return catchesTerm(pid) ? graceMs : 0;
    const children = await childrenOf(pid);
    // The app has not begun, and nothing of it could hear a signal.
    if (children.length === 0) return 0;
    for (const child of children) {
      try {
        process.kill(child, 'SIGTERM');
      } catch {
        // It has just ended.
      }
    }
    return graceMs;
  }

  async remove({ id }: ProcessRecord): Promise<void> {
    await this.#remove(id);
  }

  async isListening(record: ProcessRecord): Promise<boolean | undefined> {
    const pid = await this.#processOf(record);
    if (pid === undefined) return false;
    try {
      for await (const { address } of listeningSockets(record.port, pid)) {
        if (['0.0.0.0', '::', record.host].includes(address)) return true;
      }
      return false;
    } catch {
      // It has just ended.
      return undefined;
    }
  }

  async listensOn(record: ProcessRecord): Promise<readonly string[] | undefined> {
    const pid = await this.#processOf(record);
    return pid === undefined ? [] : addressesOf(listeningSockets(undefined, pid), () => true);
  }

  async close(): Promise<void> {
    await this.#sandboxes.close();
    await this.#images.close();
    this.#guard.close();
    this.#groups.close();
  }

  /** Finds the root file system of an app, and completes the app with what its image says. */
  async #resolve(spec: InstanceSpec, signal: AbortSignal): Promise<{ spec: InstanceSpec; image: RootImage }> {
    const { app } = spec;
    const { name, command } = app;
    const image = ociImage(app.image);
    if (!image) throw new Error(`app ${name}: the image ${app.image} is not ${ociImageExpects}`);
    if (image.kind !== 'host' && image.path !== undefined) await this.#refusePath(name, app.image ?? '', image.path);
    if (image.kind !== 'packed') {
      if (!command?.[0]) throw new Error(`app ${name} has no command to run; set 'command'`);
      return { spec, image };
    }
    const { config, digest, path } = await this.#images.of(image, name, signal);
    const whole = withImage(app, config);
    if (!whole.command?.[0])
      throw new Error(`app ${name} has no command to run, and its image names none; set 'command'`);
    return { spec: { ...spec, app: whole }, image: { kind: 'packed', path, digest } };
  }

  /** Throws if an image on this host is not for apps. */
  async #refusePath(app: string, image: string, path: string): Promise<void> {
    const source = [{ source: path, target: '/', readOnly: true, shared: false }];
    const fault = mountsFault(source, this.#policy) ?? (await sourcesFault(source));
    failFor(app)(fault?.replace(`mount source ${path}`, `image ${image}`).replace('mount source', 'image'));
  }

  async #makeSandbox(address: string, signal: AbortSignal): Promise<Sandbox> {
    await this.#network?.ensure();
    return Sandbox.make({ ...this.#options, fs: this.#fs, links: hostView().links }, address, signal);
  }

  /** Writes what the launch reads. */
  async #write(
    spec: InstanceSpec,
    image: RootImage,
    account: Account,
    at: Address,
    { networkNamespace }: Sandbox,
  ): Promise<void> {
    const { subnet, allowHost, cmdbName } = this.#options;
    const { id, app } = spec;
    const directory = this.#pathOf(id);
    const paths = pathsIn(directory);
    const inside = pathsOfSandbox(this.#fs);
    const isHost = image.kind === 'host';
    const hostAddress = allowHost.length > 0 ? gatewayOf(subnet) : undefined;
    const files = filesOf(app.name, account, isHost, {
      address: at.host,
      nameservers: await nameservers(),
      hostAddress,
    });
    const config = bundle({
      ...{ spec, cmdbName, account, port: at.port, etc: paths.etc, files: Object.keys(files) },
      ...{
        root: isHost ? inside.host : inside.root,
        tmp: inside.tmp,
        run: isHost || app.readOnly ? inside.run : undefined,
        mounts: isHost ? hostView().mounts : [],
        netns: networkNamespace,
      },
      cgroup: `${this.#groups.name}/${id}`,
      countsSwap: this.#groups.countsSwap,
      hasShell: isHost || isInImage(image.path, '/bin/sh'),
    });
    await mkdir(directory, { mode: 0o700 });
    await mkdir(paths.etc, { mode: 0o755 });
    await Promise.all([
      writeFile(paths.config, JSON.stringify(config)),
      ...Object.entries(files).map(([name, text]) => writeFile(join(paths.etc, name), text, { mode: 0o644 })),
    ]);
    if (image.kind === 'packed') await writeFile(join(directory, imageFile), JSON.stringify([image.digest]));
    if (app.mounts.length > 0) {
      // At once: boots of other apps read it.
      await writeFile(join(directory, `${mountsFile}.new`), JSON.stringify(app.mounts));
      await rename(join(directory, `${mountsFile}.new`), join(directory, mountsFile));
    }
  }

  /** Without `user`, or with `auto`, a user that only this app has. */
  async #account(app: App, image: RootImage): Promise<Account> {
    const { user = 'auto' } = app;
    if (user === 'auto' || image.kind === 'host') return this.#accounts.of({ ...app, user });
    const [passwd, group] = ['passwd', 'group'].map((name) => textInImage(image.path, `/etc/${name}`));
    try {
      return accountOf(user, { passwd: passwd || 'root:x:0:0:root:/root:/bin/sh', group: group ?? '' });
    } catch (error) {
      throw new Error(`cannot run app ${app.name} in ${app.image}: ${inImage((error as Error).message)}`, {
        cause: error,
      });
    }
  }

  /** Throws if the app would get what is not for apps, or lacks what it needs. */
  async #refuse(app: App, image: RootImage): Promise<void> {
    const { name, mounts } = app;
    const fail = failFor(name);
    if (image.kind === 'rootfs' && !existsSync(image.path)) {
      fail(`there is no directory ${image.path}; correct 'image'`);
    }
    fail(mountsFault(mounts, this.#policy) ?? (await sourcesFault(mounts)));
    const missing = mounts.find(({ source }) => !existsSync(source));
    if (missing) fail(`it mounts ${missing.source}, which does not exist: create it, or correct 'mounts'`);
    fail(commandFault(app, image));
  }

  /** Throws if another app could change what its mounts lead to, or it theirs. Of two that boot at once, at least one sees the other. */
  async #refuseNested({ name, mounts }: App, id: string): Promise<void> {
    if (mounts.length === 0) return;
    failFor(name)(nestedFault(mounts, await this.#inDirectories<Mount>(mountsFile, id), "another app's mount"));
  }

  /** What the lists in the files of this name have, in the directories of all instances but one. */
  async #inDirectories<T>(file: string, but?: string): Promise<T[]> {
    const ids = (await readdir(this.#directory)).filter((id) => id !== but);
    const texts = await Promise.all(ids.map((id) => readFile(join(this.#pathOf(id), file), 'utf8').catch(() => '[]')));
    return texts.flatMap((text) => JSON.parse(text || '[]') as T[]);
  }

  /** Removes what an instance without processes had, but its address. Harmless twice. */
  async #remove(id: string): Promise<void> {
    await this.#removeRun(id);
    await rm(this.#pathOf(id), { recursive: true, force: true });
  }

  /** Removes what a launch left whose processes are dead; what it read stays for another one. */
  async #removeRun(id: string): Promise<void> {
    const { program, clock, logger } = this.#options;
    if (existsSync(join(this.#stateRoot, id))) {
      // Only a runtime that was killed leaves its state.
      const args = ['--root', this.#stateRoot, 'delete', '--force', id];
      await promisify(execFile)(program, args, { timeout: removeLimitMs, killSignal: 'SIGKILL' }).catch(
        (error: Error) =>
          logger.warn({ instance: id, cause: error.message }, `${program} cannot remove a container that has ended`),
      );
      await rm(join(this.#stateRoot, id), { recursive: true, force: true });
    }
    await this.#groups.remove(this.#groups.pathsOf(id), clock);
    const { pid, error, log } = pathsIn(this.#pathOf(id));
    for (const path of [pid, error, log]) await rm(path, { force: true });
  }

  /** Number of process 1 of a container that runs. */
  async #processOf({ id, process: main }: ProcessRecord): Promise<number | undefined> {
    if (!main || !isRunning(main)) return undefined;
    const pid = Number(await readFile(pathsIn(this.#pathOf(id)).pid, 'utf8').catch(() => ''));
    return pid > 1 ? pid : undefined;
  }

  #hasShell(id: string): boolean {
    try {
      const config = JSON.parse(readFileSync(pathsIn(this.#pathOf(id)).config, 'utf8')) as ReturnType<typeof bundle>;
      return config.process.args[2] === init;
    } catch {
      return false;
    }
  }

  #pathOf(id: string): string {
    return join(this.#directory, id);
  }
}

/** In the directory of an instance: the mounts of its app, and the digest of its image. */
const mountsFile = 'mounts.json';
const imageFile = 'image.json';

/** What a container has as its root file system: an image, or the programs of the host. */
type RootImage =
  | Exclude<OciImage, { kind: 'packed' }>
  | { readonly kind: 'packed'; readonly path: string; readonly digest: string };

function inImage(message: string): string {
  return message.replace('on this machine; create it', 'in the image; create it there');
}

function failFor(app: string): (fault: string | undefined) => void {
  return (fault) => {
    if (fault !== undefined) throw new Error(`app ${app}: ${fault}`);
  };
}

/** Whether a process has a handler for SIGTERM. */
function catchesTerm(pid: number): boolean {
  const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(textOf(`/proc/${pid}/status`))?.[1];
  return caught === undefined || ((BigInt(`0x${caught}`) >> 14n) & 1n) === 1n;
}
