import { closeSync, openSync, readSync } from 'node:fs';

/** The first `most` bytes of a file, or of stdin for `-`; one more if it has more. Throws the system's error. */
export function readAtMost(file: string, most: number): Buffer {
  const descriptor = file === '-' ? 0 : openSync(file, 'r');
  const bytes = Buffer.alloc(most + 1);
  let length = 0;
  try {
    for (let read = 1; read > 0 && length < bytes.length; length += read) {
      read = readSync(descriptor, bytes, length, bytes.length - length, null);
    }
  } finally {
    if (file !== '-') closeSync(descriptor);
  }
  return bytes.subarray(0, length);
}
