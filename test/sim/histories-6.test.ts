import { testHistories } from './histories.js';

testHistories(5, 8);
