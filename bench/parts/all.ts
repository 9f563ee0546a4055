import type { Part } from '../part.js';
import { aborts } from './aborts.js';
import { active } from './active.js';
import { capacity } from './capacity.js';
import { cold } from './cold.js';
import { domains } from './domains.js';
import { files } from './files.js';
import { herd } from './herd.js';
import { idle } from './idle.js';
import { rollout } from './rollout.js';
import { scaleOut } from './scale-out.js';
import { warm } from './warm.js';
import { workers } from './workers.js';

/** Every part, in the order in which they run. */
export const parts: readonly Part[] = [
  ...[warm, workers, cold, scaleOut, rollout],
  ...[herd, aborts, domains, files, idle, active, capacity],
];
