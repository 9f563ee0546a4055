import t from 'tap';
import { domainOf, plainDomainOf } from '../../src/model/host-name.js';

const latin1 = (text: string) => Buffer.from(text, 'utf8').toString('latin1');

t.test('a host header names its domain', async (t) => {
  const cases: [string, string | undefined][] = [
    ['example.com', 'example.com'],
    ['EXAMPLE.Com', 'example.com'],
    ['example.com:8080', 'example.com'],
    ['example.com.', 'example.com'],
    ['example.com.:443', 'example.com'],
    ['under_score.example.com', 'under_score.example.com'],
    ['xn--mnchen-3ya.de', 'xn--mnchen-3ya.de'],
    [latin1('münchen.de'), 'xn--mnchen-3ya.de'],
    [latin1('MÜNCHEN.de'), 'xn--mnchen-3ya.de'],
    ['127.0.0.1:80', '127.0.0.1'],
    ['[::1]:8080', '::1'],
    ['[::1]', '::1'],
    ['', undefined],
    ['.', undefined],
    [':80', undefined],
    ['a b', undefined],
    ['a/b', undefined],
    ['user@host', undefined],
    ['*.example.com', undefined],
    ['[::1', undefined],
    ['[nonsense]', undefined],
    ['a\u0000b', undefined],
    ['x'.repeat(300), undefined],
    ['a..b', undefined],
    [latin1(`${'中'.repeat(50)}.example:65535`), `xn--fiq${'a'.repeat(49)}.example`],
    [latin1(`${'\u00ad'.repeat(400)}shop.example`), 'shop.example'],
    [latin1(`${'\u00ad'.repeat(600)}shop.example`), undefined],
    [`${'a'.repeat(63)}.`.repeat(4).slice(0, 253), `${'a'.repeat(63)}.`.repeat(4).slice(0, 253)],
  ];
  for (const [host, domain] of cases) {
    t.equal(domainOf(host), domain, JSON.stringify(host));
    const plain = plainDomainOf(host);
    if (plain !== undefined) t.equal(plain, domain, `${JSON.stringify(host)} in a few steps`);
  }
});
