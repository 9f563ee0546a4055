import { isIPv4, isIPv6, SocketAddress } from 'node:net';

/**
 * Who a connection is from: a client at an address, one whose address its proxy does not know, or the proxy itself, as for a health
 * check.
 */
export type ProxiedSource = { readonly address: string } | 'unknown' | 'proxy';

export interface ProxyHeader {
  /** In bytes; what follows is the connection's. */
  readonly length: number;
  readonly source: ProxiedSource;
}

/** Of version 1, with its end of line. */
const longestLine = 107;
/** Of version 2: its addresses, and room for what is not read here. The protocol would allow 64 KiB. */
export const longestProxyHeader = 4_096;
const signature = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const fixedBytes = 16;
const lineStart = Buffer.from('PROXY ', 'latin1');
/** A number as version 1 writes it: without leading zeros. */
const port = /^(?:0|[1-9]\d{0,4})$/;

/**
 * Reads the header of the PROXY protocol, version 1 or 2, that a connection begins with; undefined if more of it has to come. Throws
 * what is wrong with it. TLVs, a checksum among them, are not looked at. Source: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
 */
export function readProxyHeader(bytes: Buffer): ProxyHeader | undefined {
  if (beginsLike(bytes, signature)) return bytes.length < fixedBytes ? undefined : readBinary(bytes);
  if (beginsLike(bytes, lineStart)) return readLine(bytes);
  throw new Error('it does not begin with a PROXY header');
}

/** Whether the two agree as far as both go. */
function beginsLike(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length);
  return bytes.compare(start, 0, length, 0, length) === 0;
}

function readLine(bytes: Buffer): ProxyHeader | undefined {
  const end = bytes.subarray(0, longestLine).indexOf('\r\n');
  if (end === -1) {
    if (bytes.length < longestLine) return undefined;
    throw new Error(`the line of its PROXY header has more than ${longestLine} bytes`);
  }
  const [, family, from = '', to = '', ...ports] = bytes.toString('latin1', 0, end).split(' ');
  const length = end + 2;
  if (family === 'UNKNOWN') return { length, source: 'unknown' };
  const isAddress = family === 'TCP4' ? isIPv4 : family === 'TCP6' ? isUnzonedIPv6 : () => false;
  if (!isAddress(from) || !isAddress(to) || ports.length !== 2 || !ports.every(isPort))
    throw new Error('the line of its PROXY header is malformed');
  return { length, source: { address: family === 'TCP4' ? from : canonical(from) } };
}

function isPort(text: string): boolean {
  return port.test(text) && Number(text) <= 65_535;
}

function isUnzonedIPv6(text: string): boolean {
  return isIPv6(text) && !text.includes('%');
}

const local = 0x20;
const proxied = 0x21;
const [inet, inet6] = [1, 2];
const stream = 1;
/** Of each family's addresses and ports: none, IPv4, IPv6, UNIX. */
const addressBytes = [0, 12, 36, 216] as const;
const lastTransport = 2;

function readBinary(bytes: Buffer): ProxyHeader | undefined {
  const [command = 0, kind = 0] = bytes.subarray(signature.length);
  if (command !== local && command !== proxied) throw new Error('its PROXY header has an unknown version or command');
  const length = fixedBytes + bytes.readUInt16BE(signature.length + 2);
  if (length > longestProxyHeader) throw new Error(`its PROXY header has more than ${longestProxyHeader} bytes`);
  const [family, transport] = [kind >> 4, kind & 15];
  const needed = addressBytes[family];
  // Of its own connections a proxy need not say how they were made.
  if (command === proxied) {
    if (needed === undefined || transport > lastTransport) throw new Error('its PROXY header has an unknown family');
    if (length < fixedBytes + needed) throw new Error('its PROXY header is too short for its addresses');
  }
  if (bytes.length < length) return undefined;
  if (command === local) return { length, source: 'proxy' };
  if (transport !== stream || (family !== inet && family !== inet6)) return { length, source: 'unknown' };
  const address = bytes.subarray(fixedBytes, fixedBytes + (family === inet ? 4 : 16));
  return { length, source: { address: family === inet ? address.join('.') : canonical(groupsOf(address)) } };
}

function groupsOf(address: Buffer): string {
  return Array.from({ length: 8 }, (_, index) => address.readUInt16BE(2 * index).toString(16)).join(':');
}

/** As the system writes it: RFC 5952. */
function canonical(address: string): string {
  return new SocketAddress({ address, family: 'ipv6' }).address;
}
