// Explores in a thread of its own: the runner watches every promise of the thread that it runs in, and a history makes thousands.
import { parentPort, workerData } from 'node:worker_threads';
import { explore, report } from './explore.js';

const { from, number } = workerData as { readonly from: number; readonly number: number };
const finding = await explore(from, number);
parentPort?.postMessage(finding && (await report(finding)));
