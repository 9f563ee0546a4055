import t from 'tap';
import { install, startDaemon } from '../fixtures/daemon.js';
import { sendRaw } from '../fixtures/raw.js';
import { ask, instances } from '../fixtures/request.js';

const request = (line: string, host = 'hello.localhost') =>
  `${line}\r\nHost: ${host}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`;

t.test('request lines that are not for an app wake none', async (t) => {
  const { port, admin, log } = await startDaemon(t, await install(t));
  const send = (line: string, host?: string) => sendRaw(port, request(line, host), 2_000);

  t.match(await send('OPTIONS * HTTP/1.1'), /^HTTP\/1\.1 200 OK\r\nContent-Length: 0\r\n.*\r\n\r\n$/s);
  t.match(await send('OPTIONS * HTTP/1.0'), /^HTTP\/1\.1 200 OK\r\n/);
  t.match(await send('OPTIONS * HTTP/1.1', 'nobody.localhost'), /^HTTP\/1\.1 404 /);
  t.match(await send('GET * HTTP/1.1'), /^HTTP\/1\.1 400 /);

  for (const method of ['FOO', 'foo', 'get', 'GETX', 'PROPX', 'VERSION-CONTROL']) {
    const answer = await send(`${method} /x HTTP/1.1`);
    t.match(answer, /^HTTP\/1\.1 501 Not Implemented\r\n.*x-fastcontainer-error: method_unknown\r\n/s, method);
    t.match(answer, /Connection: close\r\n/, method);
  }
  for (const line of ['FOO', 'FOO HTTP/1.1', 'FOO / HTTP/3.1', 'F(O / HTTP/1.1', '\x16\x03\x01', 'FOO  / HTTP/1.1']) {
    t.match(await send(line), /^HTTP\/1\.1 400 /, JSON.stringify(line));
  }
  for (const line of [
    'GET / RTSP/1.0',
    'OPTIONS * RTSP/1.0',
    'POST / RTSP/1.0',
    'DESCRIBE / RTSP/1.0',
    'SOURCE /x ICE/1.0',
  ]) {
    t.match(await send(line), /^HTTP\/1\.1 400 .*x-fastcontainer-error: bad_request/s, line);
  }
  t.same(await instances(admin, 'hello'), []);
  t.match(
    log.find(({ code }) => code === 'method_unknown'),
    { msg: 'request refused', level: 40 },
  );
});

t.test('a method that is not known ends the connection behind the good request before it', async (t) => {
  const { port } = await startDaemon(t, await install(t));
  await ask(port, 'hello.localhost');
  const good = 'GET / HTTP/1.1\r\nHost: hello.localhost\r\n\r\n';
  const answer = await sendRaw(port, good + request('FOO / HTTP/1.1') + good, 2_000);
  t.same(answer.match(/HTTP\/1\.1 \d+ /g), ['HTTP/1.1 200 ', 'HTTP/1.1 501 ']);
});

t.test('HTTP/1.0 is served though its path or body names another protocol', async (t) => {
  const { port } = await startDaemon(t, await install(t));
  await ask(port, 'hello.localhost');
  const body = 'GET /y RTSP/1.0\r\n';
  const head = 'POST /upload HTTP/1.0\r\nHost: hello.localhost:\r\nX: GET / RTSP/1.0\r\n';
  const answer = await sendRaw(port, `${head}Content-Length: ${body.length}\r\n\r\n${body}`, 2_000);
  t.match(answer, /^HTTP\/1\.1 200 OK\r\n.*"bytes":17/s);
});
