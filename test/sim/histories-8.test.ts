import { testHistories } from './histories.js';

testHistories(7, 8);
