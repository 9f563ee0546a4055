/** What a chunk of a WebSocket stream held. */
export interface Scan {
  /** Part of a data frame passed: text, binary or continuation. Ping, pong and close are no activity. */
  readonly data: boolean;
  /** The chunk ended with a frame: another may be written here. */
  readonly atBoundary: boolean;
}

const largestHeader = 14;

/**
 * Follows the frame headers of one direction of a WebSocket across chunks; payloads are skipped, not copied. It only watches, and
 * reads even invalid frames as frames. Source: RFC 6455 §5.2.
 */
export class FrameScanner {
  readonly #header = Buffer.alloc(largestHeader);
  #headerLength = 0;
  #payloadLeft = 0;
  #isData = false;

  /** Reads the next chunk of the stream. */
  scan(chunk: Uint8Array): Scan {
    let data = false;
    let at = 0;
    while (at < chunk.length) {
      if (this.#payloadLeft > 0) {
        const skipped = Math.min(this.#payloadLeft, chunk.length - at);
        this.#payloadLeft -= skipped;
        at += skipped;
        data ||= this.#isData;
        continue;
      }
      this.#header[this.#headerLength] = chunk[at] as number;
      this.#headerLength += 1;
      at += 1;
      if (this.#headerLength < this.#headerSize()) continue;
      this.#payloadLeft = this.#payloadSize();
      this.#isData = ((this.#header[0] as number) & 0x0f) < 8;
      this.#headerLength = 0;
      data ||= this.#isData;
    }
    return { data, atBoundary: this.#headerLength === 0 && this.#payloadLeft === 0 };
  }

  /** Length of the header under way, as far as it is known. */
  #headerSize(): number {
    if (this.#headerLength < 2) return 2;
    const second = this.#header[1] as number;
    const mask = second & 0x80 ? 4 : 0;
    const length = second & 0x7f;
    return 2 + mask + (length === 126 ? 2 : length === 127 ? 8 : 0);
  }

  #payloadSize(): number {
    const length = (this.#header[1] as number) & 0x7f;
    if (length < 126) return length;
    if (length === 126) return this.#header.readUInt16BE(2);
    return Number(this.#header.readBigUInt64BE(2));
  }
}

/** A close frame with code 1001, going away; masked as a client must. Source: RFC 6455 §5.5.1, §7.4.1. */
export function goingAway(masked: boolean): Buffer {
  const code = [0x03, 0xe9];
  return masked ? Buffer.from([0x88, 0x82, 0, 0, 0, 0, ...code]) : Buffer.from([0x88, 0x02, ...code]);
}
