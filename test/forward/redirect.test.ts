import t from 'tap';
import { secureUrl } from '../../src/forward/redirect.js';

t.test('the same URL over HTTPS has no port of plain HTTP; challenges of authorities have none', (t) => {
  const cases: [host: string, target: string, url: string | undefined][] = [
    ['shop.example', '/a?b', 'https://shop.example/a?b'],
    ['shop.example:80', '/', 'https://shop.example/'],
    ['shop.example:', '/', 'https://shop.example/'],
    ['[2001:db8::1]:8080', '/x', 'https://[2001:db8::1]/x'],
    ['shop.example', '//evil.example/', 'https://shop.example//evil.example/'],
    ['shop.example', '*', undefined],
    ['shop.example', '/.well-known/acme-challenge/x', undefined],
    ...['../../admin', 'x/y', 'x?y', ''].map((name): [string, string, string] => [
      'shop.example',
      `/.well-known/acme-challenge/${name}`,
      `https://shop.example/.well-known/acme-challenge/${name}`,
    ]),
    ['shop.example', '/.well-known/acme-challengers', 'https://shop.example/.well-known/acme-challengers'],
  ];
  for (const [host, target, url] of cases) t.equal(secureUrl({ host, target }), url);
  t.end();
});
