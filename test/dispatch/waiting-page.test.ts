import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import t from 'tap';
import { isNavigation, waitingPage } from '../../src/dispatch/waiting-page.js';
import { problemsOf } from '../config/files.js';

const asks = (headers: Record<string, string>, method = 'GET') =>
  isNavigation({ method, headers } as unknown as IncomingMessage);
const accept = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8';

t.test('only a browser that opens a page gets one', async (t) => {
  t.ok(asks({ accept }), 'an old browser');
  t.ok(asks({ accept, 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }));
  const others: readonly (readonly [string, Record<string, string>, string?])[] = [
    ['a script', { accept: '*/*' }],
    ['curl', {}],
    ['fetch of JSON', { accept: 'application/json', 'sec-fetch-mode': 'cors' }],
    ['fetch of HTML', { accept, 'sec-fetch-mode': 'same-origin' }],
    ['a form', { accept, 'sec-fetch-mode': 'navigate' }, 'POST'],
    ['HEAD', { accept }, 'HEAD'],
    ['a library that loads parts of pages', { accept, 'x-requested-with': 'XMLHttpRequest' }],
    ['a download that goes on', { accept, range: 'bytes=100-' }],
    ['a page loaded ahead', { accept, 'sec-purpose': 'prefetch' }],
  ];
  for (const [who, headers, method] of others) t.notOk(asks(headers, method), who);
});

t.test('the page runs our script only, and what stands in it cannot be markup', async (t) => {
  const { body, headers } = waitingPage('', '"><script>alert(1)</script>{{follow}}');
  const text = body?.text ?? '';
  const scripts = [...text.matchAll(/<script>([^]*?)<\/script>/g)].map(([, script = '']) => script);
  t.equal(scripts.length, 1);
  const hash = createHash('sha256')
    .update(scripts[0] ?? '')
    .digest('base64');
  t.match(headers?.['Content-Security-Policy'], `script-src 'sha256-${hash}';`);
  t.match(text, '&#34;&#62;&#60;script&#62;alert(1)&#60;/script&#62;{{follow}}');
  t.match(text, /<noscript><meta http-equiv="refresh" content="3"><\/noscript>/);
  t.match(text, /<html lang="en">.*name="viewport".*prefers-color-scheme:dark.*role="status"/s);
  t.ok(text.length < 4_096);
  const own = waitingPage('<h1>{{domain}}</h1>{{other}}{{follow}}', 'a.example');
  t.match(own.body?.text, /^<h1>a\.example<\/h1>\{\{other\}\}<noscript>/);
});

t.test('a template has to follow the boot, and to be small', async (t) => {
  const problems = async (template: string) =>
    problemsOf({ 'main.yaml': JSON.stringify({ plans: { small: { waiting: 'page', waitingPage: template } } }) });
  t.same(await problems('<p>{{domain}}{{follow}}'), []);
  t.same(await problems(''), []);
  t.match(await problems('<p>wait'), [/waitingPage: must have the placeholder \{\{follow\}\} once/]);
  t.match(await problems('{{follow}}{{follow}}'), [/once/]);
  t.match(await problems(`{{follow}}${'x'.repeat(8_192)}`), [/must be HTML of at most 8192 characters/]);
});
