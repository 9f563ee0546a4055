import t from 'tap';
import { checkApps } from '../../src/cli/host-checks/apps.js';
import { testApp } from '../fixtures/app.js';
import { install, startDaemon, until } from '../fixtures/daemon.js';
import { ask } from '../fixtures/request.js';

/** Asks its own domain, as WordPress does, before it answers. */
const program = `
  const http = require('node:http');
  http.createServer((req, res) => {
    const port = new URL(req.url, 'http://app').searchParams.get('port');
    if (!port) return res.end('inner');
    http.get({ host: '127.0.0.1', port, headers: { host: 'hello.localhost' } }, async (inner) => {
      let text = '';
      for await (const chunk of inner) text += chunk;
      res.end(inner.statusCode + ' ' + text);
    });
  }).listen(Number(process.env.PORT), process.env.HOST);`;

t.test('the log says that a request which waited in vain may come from the app itself', async (t) => {
  const app = {
    command: [process.execPath, '-e', program],
    concurrency: { target: 1, max: 1 },
    queue: { timeout: '2s' },
  };
  const { port, log } = await startDaemon(t, await install(t, {}, { hello: app }));
  await until(async () => (await ask(port, 'hello.localhost', '/warm')).body === 'inner');
  const answer = await ask(port, 'hello.localhost', `/?port=${port}`);
  t.match(answer.body, /^503 503 queue_timeout: /);
  t.notMatch(answer.body, /concurrency|itself|127\./, 'the public is told nothing of it');
  const line = await until(() => log.find(({ code }) => code === 'queue_timeout'));
  t.match(line['detail'], /^The request may come from the app itself \(127\.0\.0\.1\): .*Raise concurrency\.max \(1\)/);
});

t.test('check warns of an app that can only wait for itself', async (t) => {
  const warnings = async (max: number, instances: number) => {
    const app = testApp({ concurrency: { target: 1, max, clientShare: 1 }, scale: { min: 0, max: instances } });
    return (await checkApps([app], {})).warnings.filter((text) => text.includes('waits for itself'));
  };
  t.match(await warnings(1, 1), [/^app shop: concurrency\.max and scale\.max are 1: .* raise concurrency\.max/]);
  t.same(await warnings(2, 1), []);
  t.same(await warnings(1, 2), []);
});
