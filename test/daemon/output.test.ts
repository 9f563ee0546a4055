import t from 'tap';
import { install, startDaemon, until } from '../fixtures/daemon.js';
import { askIdentity, instances } from '../fixtures/request.js';

t.test('what an app writes stays in the log across its sleeps, with app and instance', async (t) => {
  const code = `console.log('awake'); console.error('complains');
    require('http').createServer((_, res) => res.end(JSON.stringify({ pid: process.pid, instance: process.env.FASTCONTAINER_INSTANCE })))
      .listen(process.env.PORT, process.env.HOST);
    process.on('SIGTERM', () => { console.log('falls asleep'); process.exit(); });`;
  const app = { command: [process.execPath, '-e', code], idleTtl: '500ms' };
  const { port, admin, log } = await startDaemon(t, await install(t, {}, { hello: app }));
  const seen: string[] = [];
  for (let life = 0; life < 2; life += 1) {
    seen.push((await askIdentity(port, 'hello.localhost')).instance);
    await until(async () => (await instances(admin, 'hello')).length === 0 || undefined);
  }
  const words = ['awake', 'complains', 'falls asleep'];
  const written = () => log.filter((line) => words.includes(String(line['output'])));
  await until(() => written().length >= 6 || undefined);
  t.match(
    written(),
    seen.flatMap((instance) => words.map((output) => ({ app: 'hello', instance, output }))),
  );
});
