import t from 'tap';
import { readDomain } from '../../src/model/domain.js';

const sound: [string, string][] = [
  ['shop.example.org', 'shop.example.org'],
  ['Shop.EXAMPLE.org', 'shop.example.org'],
  ['shop.example.org.', 'shop.example.org'],
  ['bücher.example', 'xn--bcher-kva.example'],
  ['BÜCHER.example', 'xn--bcher-kva.example'],
  ['*.Bücher.example.', '*.xn--bcher-kva.example'],
  ['*.localhost', '*.localhost'],
  ['localhost', 'localhost'],
  ['a_b.example', 'a_b.example'],
  ['127.0.0.1', '127.0.0.1'],
  ['::1', '::1'],
  ['[2001:DB8::0:1]', '2001:db8::1'],
  [`${'a'.repeat(63)}.example`, `${'a'.repeat(63)}.example`],
];

for (const [written, domain] of sound) {
  t.test(`domain ${written} is looked up as ${domain}`, async (t) =>
    t.strictSame(readDomain(written), { value: domain }),
  );
}

const bad: [string, string][] = [
  ['a.example:8080', 'must be a host name without a port'],
  ['[::1]:8080', 'must be a host name without a port'],
  ['http://a.example', 'must be a host name without scheme and path'],
  ['a.example/path', 'must be a host name without scheme and path'],
  ['*', 'may hold a wildcard only as its whole first label, such as *.example.org'],
  ['a.*.example', 'may hold a wildcard only as its whole first label, such as *.example.org'],
  ['*.*.example', 'may hold a wildcard only as its whole first label, such as *.example.org'],
  ['a*.example', 'may hold a wildcard only as its whole first label, such as *.example.org'],
  ['*.', 'must be a host name such as shop.example.org or *.example.org'],
  ['', 'must be a host name such as shop.example.org or *.example.org'],
  ['.', 'must be a host name such as shop.example.org or *.example.org'],
  ['a..b', 'must be a host name such as shop.example.org or *.example.org'],
  ['a b', 'must be a host name such as shop.example.org or *.example.org'],
  ['-a.example', 'must be a host name such as shop.example.org or *.example.org'],
  ['a@b.example', 'must be a host name such as shop.example.org or *.example.org'],
  ['123', 'must be a host name such as shop.example.org or *.example.org'],
  ['0x7f.1', 'must be a host name such as shop.example.org or *.example.org'],
  ['*.127.0.0.1', 'must not be a wildcard of an IP address'],
  [`${'a'.repeat(64)}.example`, 'must be a host name such as shop.example.org or *.example.org'],
  [`${'a.'.repeat(127)}example`, 'must be at most 253 characters long'],
];

for (const [written, fault] of bad) {
  t.test(`domain ${JSON.stringify(written.slice(0, 30))} is refused`, async (t) =>
    t.strictSame(readDomain(written), { fault }),
  );
}
