import { testHistories } from './histories.js';

testHistories(4, 8);
