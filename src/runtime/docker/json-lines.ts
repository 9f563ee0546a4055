import type { Readable } from 'node:stream';

const maxLineLength = 1024 * 1024;

/**
 * The objects of a stream of JSON lines, such as the engine's events and pull progress. Throws on a line that is not JSON or longer
 * than 1 MiB, on a broken stream, and when `signal` aborts; always destroys the stream.
 */
export async function* jsonLines(stream: Readable, signal: AbortSignal): AsyncGenerator<unknown> {
  const stop = () => stream.destroy(new Error('given up'));
  signal.addEventListener('abort', stop);
  try {
    signal.throwIfAborted();
    stream.setEncoding('utf8');
    let rest = '';
    for await (const chunk of stream) {
      const lines = `${rest}${String(chunk)}`.split('\n');
      rest = lines.pop() ?? '';
      if (rest.length > maxLineLength) throw new Error('Docker Engine sent a line of more than 1 MiB');
      for (const line of lines) if (line.trim() !== '') yield JSON.parse(line) as unknown;
    }
    if (rest.trim() !== '') yield JSON.parse(rest) as unknown;
  } finally {
    signal.removeEventListener('abort', stop);
    stream.destroy();
  }
}
