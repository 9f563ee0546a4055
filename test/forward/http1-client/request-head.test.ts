import t from 'tap';
import { headLines, Unsendable } from '../../../src/forward/http1-client/request-head.js';

t.test('order, case, repeats and bytes of headers are kept', async (t) => {
  const headers = ['Host', 'a', 'X-ODD', '1', 'x-odd', 'b\xe9\tc', 'X-ODD', ''];
  t.equal(
    headLines('GET', '/a?b=\xff', headers),
    'GET /a?b=\xff HTTP/1.1\r\nHost: a\r\nX-ODD: 1\r\nx-odd: b\xe9\tc\r\nX-ODD: \r\n',
  );
});

t.test('what frames the request is left to the connection', async (t) => {
  const headers = [
    'content-length',
    '5',
    'Transfer-Encoding',
    'chunked',
    'CONNECTION',
    'close',
    'X-Content-Length',
    '1',
  ];
  t.equal(headLines('POST', '/', headers), 'POST / HTTP/1.1\r\nX-Content-Length: 1\r\n');
});

t.test('nothing is written that an app would read as another request or another header', async (t) => {
  const targets = ['', 'x', 'http://a/', '/a b', '/\r\nX: y', '/\n', '/\0', '/\x7f', '/\u010a', '/\u0120', '**'];
  for (const path of targets) t.throws(() => headLines('GET', path, []), Unsendable, JSON.stringify(path));
  for (const method of ['', 'GET ', 'G\r\n', 'GET /', 'G\u0100'])
    t.throws(() => headLines(method, '/', []), Unsendable);
  for (const name of ['', 'X ', 'X:', 'X\r\nY', 'X\n', ' X', '\xe9', 'X\u010a']) {
    t.throws(() => headLines('GET', '/', [name, 'a']), Unsendable, JSON.stringify(name));
  }
  // As latin1, U+010A is a line feed.
  for (const value of ['a\r\nY: b', 'a\n', 'a\r', '\0', '\x0b', '\x7f', '\u010a', '\u010d\u010aY: b', '\ud83d\ude00']) {
    t.throws(() => headLines('GET', '/', ['X', value]), Unsendable, JSON.stringify(value));
  }
});
