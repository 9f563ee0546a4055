import { lastWords } from '../output/printable.js';
import { type Place, findContainer } from './container.js';
import type { Engine } from './engine.js';
import { isMissing } from './engine-error.js';

/** Bounds what one call reads, as a line of the engine's log is at most 16 KiB. */
const maxLines = 500;

/** See Runtime.output. */
export async function output(engine: Engine, place: Place, id: string, maxBytes: number): Promise<string> {
  const container = await findContainer(engine, id, place);
  if (!container) return '';
  const request = {
    path: ['containers', container.containerId, 'logs'],
    query: { stdout: true, stderr: true, tail: maxLines },
  };
  const frames = await engine.bytes(`read the output of container ${id}`, request).catch((error: unknown) => {
    if (isMissing(error)) return Buffer.alloc(0);
    throw error;
  });
  return lastWords(demultiplex(frames), maxBytes);
}

/**
 * The output of a container without a terminal, from the engine's frames: one byte for the stream, three zero bytes, four bytes of
 * length, the payload (Docker Engine API, "Attach to a container"). The last frame may be incomplete.
 */
export function demultiplex(frames: Buffer): Buffer {
  const parts: Buffer[] = [];
  for (let offset = 0; offset + 8 <= frames.length;) {
    const length = frames.readUInt32BE(offset + 4);
    parts.push(frames.subarray(offset + 8, offset + 8 + length));
    offset += 8 + length;
  }
  return Buffer.concat(parts);
}
