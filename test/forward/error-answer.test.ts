import { createServer } from 'node:http';
import t, { type Test } from 'tap';
import { answerError } from '../../src/forward/error-answer.js';
import { type ErrorCode, errorTable, RequestError } from '../../src/model/errors.js';
import { listen } from '../fixtures/raw.js';
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
  const port = await answering(t, new RequestError('queue_full', 'Too many <b>wait</b>.'));
  const json = await ask(port, 'a', '/', { headers: { accept: 'application/json' } });
  t.equal(json.headers['content-type'], 'application/problem+json');
  t.match(JSON.parse(json.body), {
    code: 'queue_full',
    status: 503,
    detail: 'Too many <b>wait</b>.',
    remedy: /queue\.max/,
  });
  const html = await ask(port, 'a', '/', { headers: { accept: 'text/html,*/*' } });
  t.match(html.headers['content-type'], /^text\/html/);
  t.match(html.body, /Too many &#60;b&#62;wait/);
  t.match(await ask(port, 'a'), { headers: { 'content-type': /^text\/plain/ }, body: /^503 queue_full: / });
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
