import type { Socket } from 'node:net';
import t from 'tap';
import { Clients, prefixOf } from '../../src/forward/clients.js';

t.test('a client is an IPv4 address, or the /64 of an IPv6 address', async (t) => {
  const cases = [
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0DB8:0001:2::9', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['64:ff9b::192.0.2.1', '64:ff9b:0:0::/64'],
    ['unknown', 'unknown'],
  ] as const;
  for (const [address, client] of cases) t.equal(prefixOf(address), client, address);
});

t.test('behind trusted proxies the client is the last address that they name and that is none of them', async (t) => {
  const clients = new Clients(['10.0.0.0/8', '2001:db8:ffff::/48']);
  const of = (remoteAddress: string, ...claims: string[]) => clients.addressOf({ remoteAddress } as Socket, claims);
  const name = 'X-Forwarded-For';
  t.equal(of('192.0.2.1', name, '192.0.2.9'), '192.0.2.1', 'what a stranger says does not count');
  t.equal(of('10.0.0.1', name, '192.0.2.66, 192.0.2.9'), '192.0.2.9');
  t.equal(of('10.0.0.1', 'x-forwarded-for', '192.0.2.9,10.0.0.2 , 2001:db8:ffff::1'), '192.0.2.9');
  t.equal(of('10.0.0.1', name, '192.0.2.66', 'Via', '1.1 a', name, '192.0.2.9'), '192.0.2.9', 'in two lines');
  t.equal(of('10.0.0.1', name, '192.0.2.9:4711'), '192.0.2.9');
  t.equal(of('10.0.0.1', name, '[2001:db8:1:2:3::4]:443'), '2001:db8:1:2::/64');
  for (const hidden of [[], [name, ''], [name, 'unknown'], [name, '192.0.2.9, _hidden'], [name, '10.0.0.2']]) {
    t.equal(of('10.0.0.1', ...hidden), undefined, String(hidden[1]));
  }
  t.equal(of('10.0.0.1', name, `192.0.2.9${', 10.0.0.2'.repeat(1_000)}`), undefined, 'not so many in a row');
});
