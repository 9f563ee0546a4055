import { parentPort, workerData } from 'node:worker_threads';
import { ConfigError } from '../problem.js';
import type { FileApp, Places } from '../reading.js';
import { ConfigReader } from './config-reader.js';
import { appsAtOnce, ParseWatch, type ThreadAnswer, type ThreadData, type ThreadOrder } from './thread-messages.js';

// The thread of ConfigThread: reads files on order, and answers with what changed.
const { watch: memory, ...options } = workerData as ThreadData;
const watch = new ParseWatch(memory);
const reader = new ConfigReader({ ...options, onDocument: (file) => watch.begin(file) });
let places: Places | undefined;
let left: FileApp[] = [];

parentPort?.on('message', (order: ThreadOrder) =>
  parentPort?.postMessage(order.kind === 'read' ? read(order.changed) : more()),
);

function read(files: readonly string[] | undefined): ThreadAnswer {
  try {
    const { apps: _, changed, places: found, ...reading } = reader.read(files);
    left = [...changed];
    const isMoved = found !== places;
    places = found;
    return { kind: 'reading', reading: { ...reading, ...(isMoved && { places: found }) }, changed: changed.length };
  } catch (error) {
    if (error instanceof ConfigError) return { kind: 'refused', problems: error.problems };
    return { kind: 'failed', message: (error as Error).message };
  }
}

function more(): ThreadAnswer {
  return { kind: 'apps', apps: left.splice(0, appsAtOnce) };
}
