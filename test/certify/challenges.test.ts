import t from 'tap';
import { Challenges } from '../../src/certify/challenges.js';
import { systemClock } from '../../src/machine/system-clock.js';
import { sealedDocuments, sealedStore } from '../fixtures/sealed.js';

const path = (token: string) => `/.well-known/acme-challenge/${token}`;

/** A node's challenges over a store that answers only when it is told to. */
function slowNode() {
  const store = sealedStore();
  let looks = 0;
  const release: (() => void)[] = [];
  const sealed = async (name: string) => {
    looks += 1;
    const found = store.all.get(name);
    await new Promise<void>((resolve) => release.push(resolve));
    return found;
  };
  const writer = new Challenges({ documents: sealedDocuments(store), clock: systemClock });
  const reader = new Challenges({ documents: sealedDocuments({ ...store, sealed }), clock: systemClock });
  const answer = async () => {
    for (const go of release.splice(0)) go();
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { writer, reader, answer, looks: () => looks };
}

t.test('a flood of questions for other challenges costs one look at a time, and starves none', async (t) => {
  const { writer, reader, answer, looks } = slowNode();
  const flood = Array.from({ length: 1_000 }, (_, index) => reader.answerTo(`h${index}.example`, path('x')));
  await writer.publish('shop.example', { token: 'abc', answer: 'abc.key' });
  const asked = reader.answerTo('shop.example', path('abc'));
  await answer();
  await answer();
  t.equal(await asked, 'abc.key', 'though a look from before the challenge was under way');
  t.equal((await Promise.all(flood)).filter(Boolean).length, 0);
  t.equal(looks(), 2);
});

t.test('a challenge is answered on its own domain only, until it is withdrawn', async (t) => {
  const store = sealedStore();
  const challenges = new Challenges({ documents: sealedDocuments(store), clock: systemClock });
  await challenges.publish('a.example', { token: 'one', answer: 'one.key' });
  await challenges.publish('b.example', { token: 'two', answer: 'two.key' });
  t.equal(await challenges.answerTo('a.example', path('one')), 'one.key');
  t.equal(await challenges.answerTo('a.example', path('two')), undefined);
  t.equal(await challenges.answerTo('a.example', '/one'), undefined);
  await challenges.withdraw('a.example');
  await challenges.withdraw('nobody.example');
  t.equal(await challenges.answerTo('a.example', path('one')), undefined);
  t.equal(await challenges.answerTo('b.example', path('two')), 'two.key');
  await challenges.withdraw('b.example');
  t.equal(store.all.size, 0, 'nothing is left in the store');
});
