import { testHistories } from './histories.js';

testHistories(6, 8);
