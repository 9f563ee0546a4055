import t from 'tap';
import { generate } from './generate.js';
import { runHistory } from './history.js';

t.test('the same seed lives the same history twice, another seed another one', async (t) => {
  for (const seed of ['1', '12', '123']) {
    const first = await runHistory(generate(seed));
    const second = await runHistory(generate(seed));
    t.equal(second.fingerprint, first.fingerprint);
    t.not((await runHistory(generate(`${seed}0`))).fingerprint, first.fingerprint);
  }
});
