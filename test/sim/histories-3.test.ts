import { testHistories } from './histories.js';

testHistories(2, 8);
