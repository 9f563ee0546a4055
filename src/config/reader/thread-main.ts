import { parentPort, workerData } from 'node:worker_threads';
import { ConfigError } from '../problem.js';
import type { FileApp } from '../reading.js';
import { ConfigReader } from './config-reader.js';
import { appsAtOnce, ParseWatch, type ThreadAnswer, type ThreadData, type ThreadOrder } from './thread-messages.js';

// The thread of ConfigThread: reads files when it is told to, and answers with what changed.
const { watch: memory, ...options } = workerData as ThreadData;
const watch = new ParseWatch(memory);
const reader = new ConfigReader({ ...options, onDocument: (file) => watch.begin(file) });
let sent: ReadonlyMap<string, FileApp> = new Map();
let places = '';
let changed: FileApp[] = [];

parentPort?.on('message', (order: ThreadOrder) => parentPort?.postMessage(order === 'read' ? read() : more()));

function read(): ThreadAnswer {
  try {
    const { apps, ...reading } = reader.read();
    const now = new Map(apps.map((it) => [it.app.name, it]));
    changed = apps.filter((it) => isNews(it, sent.get(it.app.name)));
    const removed = [...sent.keys()].filter((name) => !now.has(name));
    sent = now;
    const { places: found, ...rest } = reading;
    const text = JSON.stringify(found);
    const isMoved = text !== places;
    places = text;
    return { kind: 'reading', reading: isMoved ? reading : rest, removed, changed: changed.length };
  } catch (error) {
    if (error instanceof ConfigError) return { kind: 'refused', problems: error.problems };
    return { kind: 'failed', message: (error as Error).message };
  }
}

function more(): ThreadAnswer {
  return { kind: 'apps', apps: changed.splice(0, appsAtOnce) };
}

function isNews(now: FileApp, before: FileApp | undefined): boolean {
  return before?.app !== now.app || before.file !== now.file || before.byCustomer !== now.byCustomer;
}
