import t from 'tap';
import { networkOf } from '../../src/dispatch/waking-request.js';
import { prefixOf } from '../../src/forward/clients.js';

t.test('of a client only its network is told', async (t) => {
  const rows: readonly (readonly [string, string | undefined])[] = [
    ['198.51.100.77', '198.51.100.0/24'],
    ['::ffff:198.51.100.77', '198.51.100.0/24'],
    ['2001:db8:abcd:1234:5678:9abc:def0:1', '2001:db8:abcd::/48'],
    ['2001:db8::1', '2001:db8:0::/48'],
    ['::1', '0:0:0::/48'],
    ['fe80::1%eth0', 'fe80:0:0::/48'],
    ['unknown', undefined],
  ];
  for (const [address, expected] of rows) t.equal(networkOf(prefixOf(address)), expected, address);
});
