import type { Part } from '../part.js';
import { aborts } from './aborts.js';
import { capacity } from './capacity.js';
import { cold } from './cold.js';
import { domains } from './domains.js';
import { herd } from './herd.js';
import { warm } from './warm.js';

/** Every part, in the order in which they run. */
export const parts: readonly Part[] = [warm, cold, herd, aborts, domains, capacity];
