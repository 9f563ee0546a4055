import { testHistories } from './histories.js';

testHistories(3, 8);
