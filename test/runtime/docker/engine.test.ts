import t from 'tap';
import { useDocker } from '../../fixtures/docker.js';
import { testImage } from '../../fixtures/docker-image.js';
t.test('x', async (t) => {
  const e = await useDocker(t);
  if (!e) return;
  console.error(e.socketPath, e.host, await testImage(e.docker, 'busybox'), await testImage(e.docker, 'node'), process.ppid, process.env.TAP);
});
