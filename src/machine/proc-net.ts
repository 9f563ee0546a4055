import { open } from 'node:fs/promises';
import { endianness } from 'node:os';
import { allProcesses, forEachProcess, socketDescriptors } from './proc-fs.js';

/** A listening TCP socket, from a table of the kernel. */
export interface ListeningSocket {
  readonly family: 4 | 6;
  /** As text; an IPv4 address that an IPv6 socket is bound to has the form of IPv4. */
  readonly address: string;
  readonly port: number;
  /** The user that created it. */
  readonly uid: number;
  readonly inode: string;
}

/** State of a listening socket in /proc/net/tcp. */
const listening = '0A';
/** Bytes of a read: a few lines of a table at first, and at most a page, as the kernel gives no more. */
const firstPiece = 512;
const largestPiece = 4_096;

/**
 * Listening TCP sockets in the network of the process `pid`, IPv4 first; only those on `port` if that is given. Yields each as it is
 * found, so that a caller may stop early: reading to the end takes the kernel milliseconds. Throws an Error if they cannot be read.
 */
export async function* listeningSockets(
  port?: number,
  pid: number | 'self' = 'self',
): AsyncGenerator<ListeningSocket, void, undefined> {
  const suffix = port === undefined ? ':' : `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  for (const [name, family] of [['tcp', 4] as const, ['tcp6', 6] as const]) {
    for await (const line of listeningLines(`/proc/${pid}/net/${name}`)) {
      if (!line.includes(suffix)) continue;
      const socket = parse(line, family);
      if (socket && (port === undefined || socket.port === port)) yield socket;
    }
  }
}

/** The distinct addresses of these sockets as `address:port`; undefined if they cannot be read. */
export async function addressesOf(
  sockets: AsyncIterable<ListeningSocket>,
  isMeant: (socket: ListeningSocket) => boolean,
): Promise<readonly string[] | undefined> {
  const found = new Set<string>();
  try {
    for await (const socket of sockets) {
      const { address, port } = socket;
      if (isMeant(socket)) found.add(address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`);
    }
  } catch {
    return undefined;
  }
  return [...found];
}

/** A process that holds each socket, by inode. Looks into every process of the machine: for rare use. */
export async function findHolders(inodes: ReadonlySet<string>): Promise<Map<string, number>> {
  const holders = new Map<string, number>();
  if (inodes.size === 0) return holders;
  const pids = (await allProcesses()).map(({ pid }) => pid);
  await forEachProcess(pids, async (pid) => {
    for (const inode of (await socketDescriptors(pid))?.keys() ?? []) {
      if (inodes.has(inode) && !holders.has(inode)) holders.set(inode, pid);
    }
  });
  return holders;
}

function parse(line: string, family: 4 | 6): ListeningSocket | undefined {
  const fields = line.trim().split(/\s+/, 10);
  const [hex, port] = fields[1]?.split(':') ?? [];
  const inode = fields[9];
  if (!hex || !port || !inode) return undefined;
  return { family, address: addressIn(hex), port: Number.parseInt(port, 16), uid: Number(fields[7]), inode };
}

/** The kernel prints an address in words of this machine's byte order. */
function addressIn(hex: string): string {
  const bytes = Buffer.from(hex, 'hex');
  if (endianness() === 'LE') bytes.swap32();
  const isMapped = bytes.length === 16 && hex.startsWith('0000000000000000') && bytes.readUInt32BE(8) === 0xff_ff;
  if (bytes.length === 4 || isMapped) return bytes.subarray(-4).join('.');
  const words = Array.from({ length: 8 }, (_, index) => bytes.readUInt16BE(2 * index).toString(16));
  return new URL(`http://[${words.join(':')}]`).hostname.slice(1, -1);
}

/**
 * The listening sockets of a table, which come first; many connections may follow. Reads in growing pieces, as the kernel searches on
 * until a piece is full. A missing IPv6 table counts as empty: the machine lacks that protocol.
 */
async function* listeningLines(path: string): AsyncGenerator<string, void, undefined> {
  const file = await open(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' && path.endsWith('6')) return undefined;
    throw error;
  });
  if (!file) return;
  try {
    let rest = '';
    let isHeader = true;
    for (let size = firstPiece; ; size = Math.min(2 * size, largestPiece)) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(size), 0, size, null);
      if (bytesRead === 0) return;
      const lines = (rest + buffer.toString('latin1', 0, bytesRead)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        if (!isHeader && line.trim().split(/\s+/, 4)[3] !== listening) return;
        if (!isHeader) yield line;
        isHeader = false;
      }
    }
  } finally {
    await file.close();
  }
}
