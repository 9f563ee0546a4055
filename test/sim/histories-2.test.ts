import { testHistories } from './histories.js';

testHistories(1, 8);
