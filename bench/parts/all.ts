import type { Part } from '../part.js';
import { warm } from './warm.js';

/** Every part, in the order in which they run. */
export const parts: readonly Part[] = [warm];
