import { createServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import t, { type Test } from 'tap';
import { answerError, answerErrorRaw } from '../../src/forward/error-answer.js';
import { type ErrorCode, errorTable, RequestError } from '../../src/model/errors.js';
import { listen, sendRaw } from '../fixtures/raw.js';
import { ask } from '../fixtures/request.js';

async function answering(t: Test, error: RequestError): Promise<number> {
  return listen(
    t,
    createServer((req, res) => answerError(req, res, error)),
  );
}

t.test('every code is answered with its status, and every 503 with Retry-After', async (t) => {
  for (const code of Object.keys(errorTable) as ErrorCode[]) {
    const { status, headers } = await ask(await answering(t, new RequestError(code)), 'a');
    t.equal(status, errorTable[code].status);
    t.equal(headers['x-fastcontainer-error'], code);
    t.equal(headers['cache-control'], 'no-store');
    t.equal(headers['retry-after'], status === 503 ? '1' : undefined, code);
  }
});

t.test('the body is what the client accepts', async (t) => {
  const error = new RequestError('bad_request', 'Not <b>HTTP</b>.');
  const port = await answering(t, error);
  const json = await ask(port, 'a', '/', { headers: { accept: 'application/json' } });
  t.equal(json.headers['content-type'], 'application/problem+json');
  t.match(JSON.parse(json.body), {
    code: 'bad_request',
    status: 400,
    detail: 'Not <b>HTTP</b>.',
    reference: error.reference,
  });
  const html = await ask(port, 'a', '/', { headers: { accept: 'text/html,*/*' } });
  t.match(html.headers['content-type'], /^text\/html/);
  t.match(html.body, /Not &#60;b&#62;HTTP/);
  t.match(await ask(port, 'a'), { headers: { 'content-type': /^text\/plain/ }, body: /^400 bad_request: / });
});

t.test('of the inside the public learns nothing but a reference', async (t) => {
  for (const code of Object.keys(errorTable)) {
    // What is said of maintenance is the operator's text for visitors.
    const isForClients = errorTable[code as ErrorCode].status < 500 || code === 'maintenance';
    const error = new RequestError(code as ErrorCode, isForClients ? undefined : 'web7 lacks memory.floor');
    const port = await answering(t, error);
    for (const accept of ['application/json', 'text/html', '*/*']) {
      const { body } = await ask(port, 'a', '/', { headers: { accept } });
      t.ok(body.includes(error.reference), `${code}: the reference`);
      t.notMatch(
        body,
        /web7|memory\.floor|queue\.(max|timeout)|scale\.max|bootTimeout|requestTimeout|maxHeaderSize|maxRequestBody|readyz|PORT|Operator/,
      );
    }
  }
});

t.test("headers of the app's choice are on answers in its place, and take away none of ours", async (t) => {
  const error = new RequestError('boot_failed');
  const own = { 'Access-Control-Allow-Origin': '*', 'content-type': 'text/evil', 'CACHE-CONTROL': 'public' };
  const port = await listen(
    t,
    createServer((req, res) => answerError(req, res, error, own)),
  );
  const { headers } = await ask(port, 'a');
  const ours = { 'content-type': /^text\/plain/, 'retry-after': '1', 'cache-control': 'no-store' };
  t.match(headers, { 'access-control-allow-origin': '*', ...ours });
  const raw = await listen(
    t,
    createTcpServer((socket) => answerErrorRaw(socket, error, { own, accept: 'text/html' })),
  );
  const answer = await sendRaw(raw, 'GET / HTTP/1.1\r\n\r\n');
  t.match(answer, /^HTTP\/1\.1 503 .*\r\nAccess-Control-Allow-Origin: \*\r\n.*<!doctype html>/s);
  t.notMatch(answer, /evil|public/);
});

t.test('the cause stays inside', async (t) => {
  const port = await answering(
    t,
    new RequestError('boot_failed', undefined, { cause: new Error('password is hunter2') }),
  );
  for (const accept of ['application/json', 'text/html', '*/*']) {
    t.notMatch((await ask(port, 'a', '/', { headers: { accept } })).body, /hunter2/);
  }
});

t.test('HEAD has the length but no body', async (t) => {
  const port = await answering(t, new RequestError('unknown_domain'));
  const { headers, body } = await ask(port, 'a', '/', { method: 'HEAD' });
  t.ok(Number(headers['content-length']) > 0);
  t.equal(body, '');
});
