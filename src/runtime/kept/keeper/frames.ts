/** Bytes of the largest message; a command's arguments and environment may take a few million. */
const largestFrame = 16 * 1024 * 1024;
const headerBytes = 4;

/** The encoded form of a message: its length as a big-endian number of four bytes, then JSON. */
export function frame(message: object): Buffer {
  const text = JSON.stringify(message);
  const length = Buffer.byteLength(text);
  const bytes = Buffer.allocUnsafe(headerBytes + length);
  bytes.writeUInt32BE(length);
  bytes.write(text, headerBytes);
  return bytes;
}

/** Decodes messages from the pieces in which they arrive. */
export class FrameReader {
  #pieces: Buffer[] = [];
  #length = 0;

  /** The messages that this piece completes. Throws an Error if one is too large or not JSON. */
  push(piece: Buffer): unknown[] {
    this.#pieces.push(piece);
    this.#length += piece.length;
    const messages: unknown[] = [];
    for (let size = this.#size(); size !== undefined && this.#length >= headerBytes + size; size = this.#size()) {
      const all = this.#joined();
      messages.push(JSON.parse(all.toString('utf8', headerBytes, headerBytes + size)));
      this.#pieces = [all.subarray(headerBytes + size)];
      this.#length = all.length - headerBytes - size;
    }
    return messages;
  }

  /** Size of the next message; undefined until its header has arrived. */
  #size(): number | undefined {
    if (this.#length < headerBytes) return undefined;
    const [first] = this.#pieces;
    const size = (first && first.length >= headerBytes ? first : this.#joined()).readUInt32BE();
    if (size > largestFrame) throw new Error(`a message of ${size} bytes is larger than ${largestFrame}`);
    return size;
  }

  #joined(): Buffer {
    const all = this.#pieces.length === 1 ? (this.#pieces[0] as Buffer) : Buffer.concat(this.#pieces);
    this.#pieces = [all];
    return all;
  }
}
