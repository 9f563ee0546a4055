import t from 'tap';
import { formatDuration, formatSize, parseSize } from '../../src/model/units.js';
import { parseDuration } from '../../src/model/duration.js';

t.test('durations are read in every unit', async (t) => {
  const figures: [string, number][] = [
    ['250ms', 250],
    ['5s', 5_000],
    ['20m', 1_200_000],
    ['24h', 86_400_000],
    ['7d', 604_800_000],
    ['1.5h', 5_400_000],
    ['1.1s', 1100],
    ['0s', 0],
  ];
  for (const [text, ms] of figures) t.equal(parseDuration(text), ms, text);
});

t.test('what is no duration is refused', async (t) => {
  for (const text of ['', '5', 's', '-5s', '5 s', '5S', '1h30m', '5s ', '0.5ms', '1e3s', '.5s', '99999999999999999d']) {
    t.equal(parseDuration(text), undefined, text);
  }
});

t.test('sizes are read in powers of 1024', async (t) => {
  const figures: [string, number][] = [
    ['1b', 1],
    ['16k', 16_384],
    ['128m', 134_217_728],
    ['1g', 1_073_741_824],
    ['1.5G', 1_610_612_736],
    ['2t', 2 ** 41],
  ];
  for (const [text, bytes] of figures) t.equal(parseSize(text), bytes, text);
  for (const text of ['', '5', '5mb', '5 m', '-1m', '0.5b']) t.equal(parseSize(text), undefined, text);
});

t.test('figures are written as an operator would', async (t) => {
  const durations: [number, string][] = [
    [1_200_000, '20m'],
    [90_000, '90s'],
    [1_500, '1500ms'],
    [86_400_000, '1d'],
    [0, '0ms'],
  ];
  for (const [ms, text] of durations) t.equal(formatDuration(ms), text);
  t.equal(formatSize(134_217_728), '128m');
  t.equal(formatSize(10), '10b');
});
