/** An answer that RFC 9112 does not allow, or that could be read in two ways. The message is for the log. */
export class BadAnswer extends Error {
  override readonly name = 'BadAnswer';
}

/** Takes what was read, in order. What it throws is thrown by `ResponseParser.read`. */
export interface ResponseSink {
  /** `headers`: flat, as sent, without the whitespace before values and the spaces behind them. An interim answer (1xx) has neither body nor end. */
  onHead(statusCode: number, reason: string, headers: string[]): void;
  /** A part of the body: bytes from `from` to before `to`, valid during this call only. */
  onBody(bytes: Buffer, from: number, to: number): void;
  /** The answer is whole. `trailers`: flat. */
  onEnd(trailers: string[]): void;
}

/** Upper bound of a head with the empty lines before it, and of trailers; in bytes. */
export const longestHead = 64 * 1024;
/** The same of the line before a chunk: its extensions mean nothing to anybody. */
const longestSizeLine = 16 * 1024;
/** Lengths have no more digits, and so can be counted exactly. */
const length = /^\d{1,15}$/;
const largestChunk = 2 ** 48;
const extension = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|"(?:[^"\\]|\\.)*"))?/s.source;
const extensions = new RegExp(`^${extension}(?:;${extension})*$`, 's');

const tab = 0x09;
const lf = 0x0a;
const cr = 0x0d;
const space = 0x20;
const colon = 0x3a;
const semicolon = 0x3b;
const protocol = Buffer.from('HTTP/');

/** What a byte may be part of. */
const inName = 1;
const inValue = 2;
const kinds = Uint8Array.from({ length: 256 }, (_, byte) => {
  if (/[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(String.fromCharCode(byte))) return inName | inValue;
  return byte === tab || (byte >= space && byte !== 0x7f) ? inValue : 0;
});

/** What the next byte belongs to. */
const at = {
  /** No answer is expected. */
  nothing: 0,
  statusLine: 1,
  statusLineEnd: 2,
  lineStart: 3,
  name: 4,
  valueStart: 5,
  value: 6,
  lineEnd: 7,
  headEnd: 8,
  countedBody: 9,
  bodyUntilEnd: 10,
  chunkSize: 11,
  chunkExtension: 12,
  chunkSizeEnd: 13,
  chunk: 14,
  chunkEnd: 15,
  chunkLineEnd: 16,
} as const;

/**
 * Reads the answers that come on one connection to an app, and reads them alike however they are cut into pieces. It takes what
 * docs/http.md lists and nothing else. Source: RFC 9112.
 */
export class ResponseParser {
  /** Set with the head: the connection may carry no other request. */
  isLast = false;
  /** Set with the head: how long the app keeps the connection by its own word, in seconds. */
  keptSeconds: number | undefined;
  readonly #sink: ResponseSink;
  #state: number = at.nothing;
  #isToHead = false;
  /** The answer, or an interim one before it, says `close`. */
  #isClosed = false;
  /** The beginning of a head, or of trailers, that are not whole yet. */
  #held: Buffer | undefined;
  #heldBytes = 0;
  /** Where in the head its status line, and then each name and value, begins and ends. */
  readonly #marks: number[] = [];
  #isTrailer = false;
  /** Bytes that are left of the body or the chunk. */
  #left = 0;
  #sizeLineBytes = 0;
  /** Of the chunk, behind the first semicolon. */
  #extensions = '';
  /** The part of a chunked body that was found in the bytes in hand. */
  #partFrom = 0;
  #partTo = 0;

  constructor(sink: ResponseSink) {
    this.#sink = sink;
  }

  /** A request is about to be written. `isToHead`: its answer has no body, whatever that says. */
  begin(isToHead: boolean): void {
    this.stop();
    this.#isToHead = isToHead;
    this.#isClosed = false;
    this.#beginHead();
  }

  /** No answer is expected any longer. In a call of the sink, nothing else of what is being read is handed over. */
  stop(): void {
    this.#state = at.nothing;
    this.#held = undefined;
    this.#heldBytes = 0;
  }

  /** Whether no answer is expected. */
  get isIdle(): boolean {
    return this.#state === at.nothing;
  }

  /**
   * Reads the first `to` bytes, and returns how many of them belong to an answer that is expected. It may move bytes in `bytes`.
   * Throws BadAnswer, and is of no use after that.
   */
  read(bytes: Buffer, to: number): number {
    let here = 0;
    while (here < to && this.#state !== at.nothing) {
      if (this.#state <= at.headEnd) here = this.#readHead(bytes, here, to);
      else if (this.#state === at.countedBody) here = this.#readCounted(bytes, here, to);
      else if (this.#state === at.bodyUntilEnd) here = this.#readRest(bytes, here, to);
      else here = this.#readChunks(bytes, here, to);
    }
    return here;
  }

  /** The app has ended the connection. Returns whether nothing of an answer is missing. */
  end(): boolean {
    if (this.#state === at.bodyUntilEnd) this.#finish([]);
    return this.#state === at.nothing;
  }

  #beginHead(): void {
    this.#state = at.statusLine;
    this.#isTrailer = false;
    this.#marks.length = 0;
    this.#marks.push(0);
  }

  #beginTrailers(): void {
    this.#state = at.lineStart;
    this.#isTrailer = true;
    this.#marks.length = 0;
  }

  /** Reads a head, interim or not, or trailers. Only what has not ended by `to` is copied. */
  #readHead(bytes: Buffer, from: number, to: number): number {
    const before = this.#heldBytes;
    const within = Math.min(to, from + longestHead - before);
    const isBegun = this.#held !== undefined;
    const head = isBegun ? this.#hold(bytes, from, within) : bytes;
    const start = isBegun ? 0 : from;
    const end = this.#scanHead(head, start, start + before, start + before + within - from);
    if (end < 0) {
      if (before + within - from === longestHead) {
        throw new BadAnswer(`the ${this.#isTrailer ? 'trailer' : 'header'} of the answer is too large`);
      }
      if (!isBegun) this.#hold(bytes, from, within);
      return within;
    }
    const text = head.toString('latin1', start, end);
    this.#held = undefined;
    this.#heldBytes = 0;
    if (this.#isTrailer) this.#takeTrailers(text);
    else this.#takeHead(text);
    return from + end - start - before;
  }

  /** Appends to what is held, in a buffer that doubles: a head may come byte by byte. */
  #hold(bytes: Buffer, from: number, to: number): Buffer {
    const needed = this.#heldBytes + to - from;
    let held = this.#held;
    if (held === undefined || held.length < needed) {
      const larger = Buffer.allocUnsafeSlow(Math.min(longestHead, Math.max(1_024, 2 * needed)));
      held?.copy(larger, 0, 0, this.#heldBytes);
      this.#held = held = larger;
    }
    bytes.copy(held, this.#heldBytes, from, to);
    this.#heldBytes = needed;
    return held;
  }

  /** Goes on from `from` in the head that begins at `start`. Returns where it ends, or -1 if that has not come by `to`. */
  #scanHead(head: Buffer, start: number, from: number, to: number): number {
    const marks = this.#marks;
    let state = this.#state;
    let here = from;
    while (here < to) {
      const byte = head[here] as number;
      switch (state) {
        case at.statusLine: {
          const index = here - start - (marks[0] as number);
          if (byte === cr && (index === 0 || index >= protocol.length)) {
            marks.push(here - start);
            state = at.statusLineEnd;
          } else if (index < protocol.length && byte !== protocol[index]) throw invalid('Expected HTTP/');
          else if (byte === lf) throw invalid('Missing expected CR after response line');
          here += 1;
          break;
        }
        case at.statusLineEnd:
          if (byte !== lf) throw invalid('Missing expected LF after response line');
          here += 1;
          if (marks[0] === marks[1]) {
            // An empty line, which a server may have left behind its last answer.
            marks.length = 0;
            marks.push(here - start);
            state = at.statusLine;
          } else state = at.lineStart;
          break;
        case at.lineStart:
          if (byte === cr) {
            state = at.headEnd;
            here += 1;
          } else if (isOf(byte, inName)) {
            marks.push(here - start);
            state = at.name;
          } else throw invalid('Invalid header token');
          break;
        case at.name:
          while (here < to && isOf(head[here] as number, inName)) here += 1;
          if (here === to) break;
          if (head[here] !== colon) throw invalid('Invalid header token');
          marks.push(here - start);
          state = at.valueStart;
          here += 1;
          break;
        case at.valueStart:
          if (byte === space || byte === tab) here += 1;
          else {
            marks.push(here - start);
            state = at.value;
          }
          break;
        case at.value:
          while (here < to && isOf(head[here] as number, inValue)) here += 1;
          if (here === to) break;
          if (head[here] === lf) throw invalid('Missing expected CR after header value');
          if (head[here] !== cr) throw invalid('Invalid header value char');
          marks.push(here - start);
          state = at.lineEnd;
          here += 1;
          break;
        case at.lineEnd:
          if (byte !== lf) throw invalid('Missing expected LF after header value');
          state = at.lineStart;
          here += 1;
          break;
        case at.headEnd:
          if (byte !== lf) throw invalid('Missing expected LF after headers');
          return here + 1;
      }
    }
    this.#state = state;
    return -1;
  }

  #fieldsOf(text: string, firstMark: number): string[] {
    const marks = this.#marks;
    const fields: string[] = [];
    for (let mark = firstMark; mark < marks.length; mark += 4) {
      const from = marks[mark + 2] as number;
      let to = marks[mark + 3] as number;
      // Some servers take a tab at the end for a part of the value, `chunked` for instance: it stays, for all to see.
      while (to > from && text.charCodeAt(to - 1) === space) to -= 1;
      fields.push(text.slice(marks[mark] as number, marks[mark + 1] as number), text.slice(from, to));
    }
    return fields;
  }

  #takeHead(text: string): void {
    const [from = 0, to = 0] = this.#marks;
    const isNew = isVersion11(text, from);
    const statusCode = statusCodeOf(text, from, to);
    const reason = text.slice(from + 13, to);
    const headers = this.#fieldsOf(text, 2);
    const { contentLength, isChunked } = this.#framingOf(headers, statusCode, isNew);
    if (statusCode < 200) {
      this.#beginHead();
      return this.#sink.onHead(statusCode, reason, headers);
    }
    const hasNone = this.#isToHead || statusCode === 204 || statusCode === 304 || contentLength === 0;
    if (isChunked) this.#beginChunk();
    else if (contentLength === undefined) this.#state = at.bodyUntilEnd;
    else {
      this.#left = contentLength;
      this.#state = at.countedBody;
    }
    if (!hasNone && this.#state === at.bodyUntilEnd) this.isLast = true;
    this.#sink.onHead(statusCode, reason, headers);
    if (hasNone) this.#finish([]);
  }

  /** What frames the body, and whether the connection is kept after it. */
  #framingOf(
    headers: readonly string[],
    statusCode: number,
    isNew: boolean,
  ): { contentLength: number | undefined; isChunked: boolean } {
    let contentLength: number | undefined;
    let isChunked = false;
    let isKept = isNew;
    this.keptSeconds = undefined;
    for (let index = 0; index < headers.length; index += 2) {
      const name = headers[index] as string;
      // The length alone rules out most names.
      if (name.length !== 10 && name.length !== 14 && name.length !== 17) continue;
      const value = headers[index + 1] as string;
      switch (name.toLowerCase()) {
        case 'content-length':
          // An interim answer has no body to be read in two ways, and may not cost the answer.
          if (statusCode < 200) break;
          if (contentLength !== undefined) throw invalid('Content-Length twice');
          if (!length.test(value)) throw invalid('Invalid character in Content-Length');
          contentLength = Number(value);
          break;
        case 'transfer-encoding':
          if (statusCode < 200) break;
          if (isChunked || value.toLowerCase() !== 'chunked') {
            throw new BadAnswer(`the app answered with Transfer-Encoding ${JSON.stringify(value.slice(0, 100))}`);
          }
          isChunked = true;
          break;
        case 'connection':
          isKept ||= hasToken(value, 'keep-alive');
          this.#isClosed ||= hasToken(value, 'close');
          break;
        case 'keep-alive': {
          const [, seconds] = /timeout=(\d+)/i.exec(value) ?? [];
          if (seconds !== undefined) this.keptSeconds = Number(seconds);
          break;
        }
      }
    }
    if (isChunked && contentLength !== undefined) throw invalid('Content-Length with Transfer-Encoding');
    if (statusCode === 101) throw new BadAnswer('the app switched to another protocol unasked');
    // Chunks in HTTP/1.0 may have passed something that does not know them: RFC 9112 §6.1.
    this.isLast = this.#isClosed || !isKept || (isChunked && !isNew);
    return { contentLength, isChunked };
  }

  #readCounted(bytes: Buffer, from: number, to: number): number {
    const end = Math.min(to, from + this.#left);
    this.#left -= end - from;
    this.#sink.onBody(bytes, from, end);
    if (this.#left === 0) this.#finish([]);
    return end;
  }

  #readRest(bytes: Buffer, from: number, to: number): number {
    this.#sink.onBody(bytes, from, to);
    return to;
  }

  #beginChunk(): void {
    this.#state = at.chunkSize;
    this.#left = 0;
    this.#sizeLineBytes = 0;
    this.#extensions = '';
  }

  /** Hands over what it finds as one part: the chunks of an app may be a byte long. */
  #readChunks(bytes: Buffer, from: number, to: number): number {
    this.#partFrom = this.#partTo = 0;
    try {
      return this.#scanChunks(bytes, from, to);
    } finally {
      if (this.#partTo > this.#partFrom) this.#sink.onBody(bytes, this.#partFrom, this.#partTo);
    }
  }

  #scanChunks(bytes: Buffer, from: number, to: number): number {
    let here = from;
    while (here < to) {
      const byte = bytes[here] as number;
      switch (this.#state) {
        case at.chunkSize: {
          const digit = hexadecimal(byte);
          if (digit >= 0) {
            this.#left = this.#left * 16 + digit;
            if (this.#left > largestChunk) throw invalid('Chunk size overflow');
          } else if (this.#sizeLineBytes > 0 && byte === semicolon) this.#state = at.chunkExtension;
          else if (this.#sizeLineBytes > 0 && byte === cr) this.#state = at.chunkSizeEnd;
          else throw invalid('Invalid character in chunk size');
          this.#countSizeLine();
          break;
        }
        case at.chunkExtension:
          if (isOf(byte, inValue)) this.#extensions += String.fromCharCode(byte);
          else if (byte === cr && extensions.test(this.#extensions)) this.#state = at.chunkSizeEnd;
          else throw invalid('Invalid character in chunk extensions');
          this.#countSizeLine();
          break;
        case at.chunkSizeEnd:
          if (byte !== lf) throw invalid('Missing expected LF after chunk size');
          if (this.#left === 0) {
            this.#beginTrailers();
            return here + 1;
          }
          this.#state = at.chunk;
          break;
        case at.chunk: {
          const end = Math.min(to, here + this.#left);
          this.#left -= end - here;
          if (this.#left === 0) this.#state = at.chunkEnd;
          this.#takePart(bytes, here, end);
          here = end;
          continue;
        }
        case at.chunkEnd:
          if (byte !== cr) throw invalid('Missing expected CR after chunk');
          this.#state = at.chunkLineEnd;
          break;
        case at.chunkLineEnd:
          if (byte !== lf) throw invalid('Missing expected LF after chunk');
          this.#beginChunk();
          break;
      }
      here += 1;
    }
    return here;
  }

  #countSizeLine(): void {
    this.#sizeLineBytes += 1;
    if (this.#sizeLineBytes > longestSizeLine) throw invalid('Chunk extensions too large');
  }

  /** Moves it to the end of the part before it. */
  #takePart(bytes: Buffer, from: number, to: number): void {
    if (this.#partTo === 0) this.#partFrom = this.#partTo = from;
    else bytes.copyWithin(this.#partTo, from, to);
    this.#partTo += to - from;
  }

  #takeTrailers(text: string): void {
    const trailers = this.#fieldsOf(text, 0);
    for (let index = 0; index < trailers.length; index += 2) {
      if ((trailers[index] as string).toLowerCase() === 'content-length') throw invalid('Content-Length in a trailer');
    }
    this.#finish(trailers);
  }

  #finish(trailers: string[]): void {
    if (this.#state === at.nothing) return;
    this.#state = at.nothing;
    this.#sink.onEnd(trailers);
  }
}

function invalid(reason: string): BadAnswer {
  return new BadAnswer(`not valid HTTP: ${reason}`);
}

function isOf(byte: number, kind: number): boolean {
  return ((kinds[byte] as number) & kind) !== 0;
}

/** False for 1.0, and for 2.0: some apps repeat what a proxy in front of all said. */
function isVersion11(text: string, from: number): boolean {
  const version = text.slice(from + 5, from + 9);
  if (version !== '1.1 ' && version !== '1.0 ' && version !== '2.0 ') throw invalid('Invalid HTTP version');
  return version === '1.1 ';
}

function statusCodeOf(text: string, from: number, to: number): number {
  const code = text.slice(from + 9, from + 12);
  const isOver = to === from + 12 || text.charCodeAt(from + 12) === space;
  if (!isOver || !/^[1-9]\d\d$/.test(code)) throw invalid('Invalid status code');
  return Number(code);
}

function hasToken(list: string, token: string): boolean {
  const lower = list.toLowerCase();
  return lower === token || (lower.includes(token) && lower.split(',').some((each) => each.trim() === token));
}

/** The value of a digit, or -1. */
function hexadecimal(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}
