import t from 'tap';
import { longestProxyHeader, type ProxiedSource, readProxyHeader } from '../../src/entrance/proxy-header.js';

const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');

function binary(command: number, kind: number, body: Buffer, length = body.length): Buffer {
  return Buffer.concat([signature, Buffer.from([command, kind, length >> 8, length & 255]), body]);
}

const v4 = Buffer.from([192, 0, 2, 7, 198, 51, 100, 1, 0x30, 0x39, 0, 80]);
const v6 = Buffer.concat([
  Buffer.from('20010db8000000000000000000000007', 'hex'),
  Buffer.from('20010db8000000000000000000000001', 'hex'),
  Buffer.from([0x30, 0x39, 0, 80]),
]);
const mapped = Buffer.concat([Buffer.from('00000000000000000000ffffc0000207', 'hex'), v6.subarray(16)]);
/** PP2_TYPE_CRC32C with a wrong sum, and PP2_TYPE_NOOP. */
const tlvs = Buffer.from('030004deadbeef0400020000', 'hex');

const sound: [what: string, bytes: Buffer, source: ProxiedSource][] = [
  ['TCP4', line('TCP4 192.0.2.7 198.51.100.1 12345 80'), { address: '192.0.2.7' }],
  [
    'TCP4 with the longest figures',
    line('TCP4 255.255.255.255 255.255.255.255 65535 0'),
    { address: '255.255.255.255' },
  ],
  ['TCP6', line('TCP6 2001:db8:0:0:0:0:0:7 2001:db8::1 12345 80'), { address: '2001:db8::7' }],
  [
    'TCP6 of 107 bytes',
    line(`TCP6${` ${'ffff:'.repeat(7)}ffff`.repeat(2)} 65535 65535`),
    { address: `${'ffff:'.repeat(7)}ffff` },
  ],
  ['UNKNOWN', line('UNKNOWN'), 'unknown'],
  ['UNKNOWN with addresses', line(`UNKNOWN${` ${'ffff:'.repeat(7)}ffff`.repeat(2)} 65535 65535`), 'unknown'],
  ['IPv4', binary(0x21, 0x11, v4), { address: '192.0.2.7' }],
  ['IPv4 with TLVs', binary(0x21, 0x11, Buffer.concat([v4, tlvs])), { address: '192.0.2.7' }],
  ['IPv6', binary(0x21, 0x21, v6), { address: '2001:db8::7' }],
  ['IPv4 in IPv6', binary(0x21, 0x21, mapped), { address: '::ffff:192.0.2.7' }],
  [
    'IPv6 as long as may be',
    binary(0x21, 0x21, Buffer.concat([v6, Buffer.alloc(longestProxyHeader - 16 - 36)])),
    { address: '2001:db8::7' },
  ],
  ['datagrams', binary(0x21, 0x12, v4), 'unknown'],
  ['a UNIX socket', binary(0x21, 0x31, Buffer.alloc(216, 'a')), 'unknown'],
  ['no family', binary(0x21, 0x00, Buffer.alloc(0)), 'unknown'],
  ['no family, with bytes', binary(0x21, 0x00, Buffer.alloc(9)), 'unknown'],
  ['LOCAL', binary(0x20, 0x00, Buffer.alloc(0)), 'proxy'],
  ['LOCAL with addresses', binary(0x20, 0x11, v4), 'proxy'],
  ['LOCAL with what is not to be looked at', binary(0x20, 0xff, Buffer.alloc(3)), 'proxy'],
];

function line(text: string): Buffer {
  return Buffer.from(`PROXY ${text}\r\n`);
}

t.test('a header is read whole, however much of it has come, and what follows is left', (t) => {
  for (const [what, bytes, source] of sound) {
    for (let length = 0; length < bytes.length; length += 1)
      if (readProxyHeader(bytes.subarray(0, length)) !== undefined) t.fail(`${what} is read after ${length} bytes`);
    const whole = { length: bytes.length, source };
    t.same(readProxyHeader(bytes), whole, what);
    t.same(
      readProxyHeader(Buffer.concat([bytes, Buffer.from('PROXY GET / HTTP/1.1\r\n')])),
      whole,
      `${what}, and more`,
    );
  }
  t.end();
});

t.test('what is no header is refused, at the first byte that shows it', (t) => {
  const wrong: [what: string, bytes: Buffer | string, from?: number][] = [
    ['a request', 'GET / HTTP/1.1\r\n', 1],
    ['a client hello', Buffer.from([22, 3, 1]), 1],
    ['a blank line', '\r\n\r\n\r', 5],
    ['lower case', 'proxy TCP4 ', 1],
    ['a tab', 'PROXY\tTCP4', 6],
    ['a line without end', `PROXY UNKNOWN ${'x'.repeat(200)}`, 107],
    ['a line of 108 bytes', `PROXY UNKNOWN ${'x'.repeat(92)}\r\n`, 107],
    ['another family', 'PROXY TCP5 192.0.2.7 198.51.100.1 1 2\r\n'],
    ['no family', 'PROXY \r\n'],
    ['TCP4 with IPv6', 'PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n'],
    ['TCP6 with IPv4', 'PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n'],
    ['a name', 'PROXY TCP4 localhost 198.51.100.1 1 2\r\n'],
    ['a zone', 'PROXY TCP6 fe80::1%eth0 2001:db8::1 1 2\r\n'],
    ['leading zeros', 'PROXY TCP4 192.000.002.007 198.51.100.1 1 2\r\n'],
    ['a port with a leading zero', 'PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n'],
    ['a port too large', 'PROXY TCP4 192.0.2.7 198.51.100.1 1 65536\r\n'],
    ['a negative port', 'PROXY TCP4 192.0.2.7 198.51.100.1 -1 2\r\n'],
    ['one port', 'PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n'],
    ['a field more', 'PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n'],
    ['a space more', 'PROXY TCP4  192.0.2.7 198.51.100.1 1 2\r\n'],
    ['a space at the end', 'PROXY TCP4 192.0.2.7 198.51.100.1 1 2 \r\n'],
    ['a bare line feed', 'PROXY TCP4 192.0.2.7 198.51.100.1 1 2\nGET / HTTP/1.1\r\n'],
    ['another version', binary(0x31, 0x11, v4), 16],
    ['another command', binary(0x22, 0x11, v4), 16],
    ['another family of version 2', binary(0x21, 0x41, v6), 16],
    ['another transport', binary(0x21, 0x13, v4), 16],
    ['too short for IPv4', binary(0x21, 0x11, v4.subarray(1)), 16],
    ['too short for IPv6', binary(0x21, 0x21, v4), 16],
    ['too short for a UNIX socket', binary(0x21, 0x31, v6), 16],
    ['longer than is taken', binary(0x21, 0x11, v4, longestProxyHeader - 15), 16],
    ['as long as can be said', binary(0x20, 0x00, v4, 65_535), 16],
  ];
  for (const [what, said, from] of wrong) {
    const bytes = Buffer.from(said as string);
    t.throws(() => readProxyHeader(bytes), /PROXY header/, what);
    if (from === undefined) continue;
    t.throws(() => readProxyHeader(bytes.subarray(0, from)), /PROXY header/, `${what}, at once`);
    t.equal(readProxyHeader(bytes.subarray(0, from - 1)), undefined, `${what}, not before`);
  }
  t.end();
});
