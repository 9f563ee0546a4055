// What the image runs. Whoever starts it as root gets a dispatcher that is not: it becomes the user `node`, with the group
// that owns Docker's socket, whichever number that has on this machine. Started as another user, it stays that user.
import { chmodSync, statSync } from 'node:fs';

if (process.getuid() === 0) {
  const socket = statSync(process.env.DOCKER_SOCKET_PATH ?? '/var/run/docker.sock', { throwIfNoEntry: false });
  process.setgroups(socket ? [socket.gid] : []);
  process.setgid('node');
  process.setuid('node');
}
// A volume that an older image made is open to others, which the dispatcher refuses.
try {
  chmodSync('/var/lib/fastcontainer', 0o700);
} catch {
  // It is not there, or another user's: the dispatcher says so if it is to use it.
}
await import('../dist/src/main.js');
