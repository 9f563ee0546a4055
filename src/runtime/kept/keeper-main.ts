import { rmSync } from 'node:fs';
import { mkdir, open, rm } from 'node:fs/promises';
import { createServer, Socket } from 'node:net';
import { join } from 'node:path';
import { dropInherited, parseDescriptors } from '../../machine/descriptors.js';
import { frame } from './keeper/frames.js';
import { Keeper } from './keeper/keeper.js';
import { spareFromOom } from './keeper/oom.js';
import { Pipes } from './keeper/pipes.js';

/**
 * The keeper: starts apps for its dispatcher, is their parent, reads their output, and outlives the dispatcher while one of them runs
 * (docs/decisions/keeper.md). It imports next to nothing, to stay small.
 */
const ownerFd = 3;
const [settings = '{}', inherited] = process.argv.slice(2);

export interface KeeperSettings {
  /** Pid of the dispatcher, which must be its parent. */
  readonly dispatcher: number;
  /** Directory of its socket and pipes, which are named by `name`. */
  readonly directory: string;
  readonly name: string;
  readonly output: { readonly directory: string; readonly maxBytes: number };
}

dropInherited(parseDescriptors(inherited), [ownerFd]);
// It ends with its last app, so it ignores signals that are sent to all processes of a service.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGPIPE'] as const) process.on(signal, () => {});
await keep(JSON.parse(settings) as KeeperSettings, new Socket({ fd: ownerFd, readable: true, writable: true }));

async function keep({ dispatcher, directory, name, output }: KeeperSettings, owner: Socket): Promise<void> {
  const paths = { socket: join(directory, `${name}.sock`), pipes: join(directory, `${name}.pipes`) };
  let isDone = false;
  try {
    await mkdir(paths.pipes, { mode: 0o700 });
    const pipes = new Pipes(paths.pipes);
    const fork = spareFromOom();
    const hasParent = () => process.ppid === dispatcher;
    const keeper = new Keeper({ pipes, output, fork, hasParent, onDone: () => void end() });
    const end = async () => {
      if (isDone) return;
      isDone = true;
      await keeper.close();
      await Promise.all([rm(paths.socket, { force: true }), rm(paths.pipes, { recursive: true, force: true })]);
      process.exit();
    };
    // Its end would cost all its apps, and an error concerns at most one of them.
    process.on('uncaughtException', (error) => keeper.fault(error));
    // The path of a socket must be short, but its directory's path may be long.
    const handle = await open(directory, 'r');
    const server = createServer();
    keeper.listen(server);
    await Promise.all([
      pipes.open(),
      new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(`/proc/self/fd/${handle.fd}/${name}.sock`, resolve);
      }),
    ]);
    keeper.serveOwner(owner);
  } catch (error) {
    rmSync(paths.pipes, { recursive: true, force: true });
    rmSync(paths.socket, { force: true });
    owner.end(frame({ kind: 'fault', message: (error as Error).message }), () => process.exit(1));
  }
}
