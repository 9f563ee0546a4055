import t from 'tap';
import { parseArguments, UsageError } from '../../bench/arguments.js';

const known = ['warm', 'cold', 'herd'];

t.test('without arguments every part runs at its own length', async (t) => {
  const expected = {
    parts: known,
    smoke: false,
    gate: false,
    markdown: false,
    rounds: undefined,
    seconds: undefined,
    against: undefined,
  };
  t.same(parseArguments([], known), expected);
});

t.test('parts may be named, each runs once', async (t) => {
  t.same(parseArguments(['herd', 'warm', 'herd'], known).parts, ['herd', 'warm']);
});

t.test('options stand anywhere, with their value beside or behind them', async (t) => {
  const asked = parseArguments(['--smoke', 'cold', '--rounds', '3', '--gate', '--seconds=2', '--markdown'], known);
  t.same(asked, {
    parts: ['cold'],
    smoke: true,
    gate: true,
    markdown: true,
    rounds: 3,
    seconds: 2,
    against: undefined,
  });
  t.equal(parseArguments(['warm', '--against', '../before'], known).against, '../before');
  t.equal(parseArguments(['--against=../before'], known).against, '../before');
});

t.test('what is misspelt is refused and named', async (t) => {
  const faults: [string[], RegExp][] = [
    [['wram'], /no part 'wram'; there are: warm, cold, herd/],
    [['--smok'], /no option --smok/],
    [['--smoke=yes'], /--smoke takes no value/],
    [['--rounds'], /--rounds takes a whole number/],
    [['--rounds', 'warm'], /--rounds takes a whole number/],
    [['--rounds=0'], /--rounds takes a whole number from 1 to 1000/],
    [['--seconds', '1e9'], /--seconds takes a whole number/],
    [['--against'], /--against takes a directory/],
    [['--against', '--smoke'], /--against takes a directory/],
    [['--seconds', '2000'], /--seconds takes a whole number/],
    [[''], /no part ''/],
  ];
  for (const [args, message] of faults) {
    t.throws(() => parseArguments(args, known), message, args.join(' '));
    t.throws(() => parseArguments(args, known), UsageError);
  }
});
