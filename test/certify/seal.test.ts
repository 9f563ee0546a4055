import t from 'tap';
import { Seal, SealBroken } from '../../src/certify/seal.js';

const secret = 'correct horse battery staple, and more';
const seal = new Seal(secret, 'test');

t.test('what was sealed opens under its name, with its key and in its installation only', (t) => {
  const text = 'a key\nof several lines, über all';
  const sealed = seal.close('shop.example', text);
  t.notMatch(sealed, /several/);
  t.equal(new Seal(secret, 'test').open('shop.example', sealed), text);
  t.not(seal.close('shop.example', text), sealed, 'never the same twice');
  t.throws(() => seal.open('www.shop.example', sealed), SealBroken, 'moved to another name');
  t.throws(() => new Seal(secret, 'other').open('shop.example', sealed), SealBroken);
  t.throws(() => new Seal(`${secret}!`, 'test').open('shop.example', sealed), SealBroken);
  t.end();
});

t.test('no changed byte is taken, however short or long', (t) => {
  const sealed = seal.close('shop.example', 'x');
  const bytes = Buffer.from(sealed.slice(2), 'base64url');
  for (let at = 0; at < bytes.length; at += 1) {
    const changed = Buffer.from(bytes);
    changed[at]! ^= 1;
    t.throws(() => seal.open('shop.example', `1.${changed.toString('base64url')}`), SealBroken, `byte ${at}`);
  }
  for (const odd of ['', '1', '1.', '1.AAAA', `2${sealed.slice(1)}`, sealed.slice(0, -4), `${sealed}AAAA`])
    t.throws(() => seal.open('shop.example', odd), SealBroken, odd);
  t.end();
});
