import fc from 'fast-check';
import t from 'tap';
import { loadConfig } from '../../src/config/load-config.js';
import { ConfigError } from '../../src/config/problem.js';
import { appYaml, mainYaml, makeFiles } from './files.js';

const sound = appYaml(
  'a',
  'env: { A: "${X:-x}", B: 1.10, C: b }\nscale: { min: 0, max: 3 }\nreadiness: { http: / }\nidleTtl: 5m\nlimits:\n  memory: 128m\n',
);

const fragments = [
  '${',
  '}',
  '$$',
  '*b',
  '&b ',
  '!!binary ',
  '- ',
  '? ',
  ': ',
  '{',
  '[',
  ']',
  '"',
  "'",
  '|\n',
  '\n',
  '\t',
  '---\n',
  '#',
  '<<: ',
  '%',
  '\0',
  '\uFEFF',
  '9',
  'null',
  '~',
];

const damage = fc.array(
  fc.record({
    at: fc.nat(sound.length),
    remove: fc.nat(6),
    insert: fc.oneof(fc.constantFrom(...fragments), fc.string({ maxLength: 4, unit: 'binary' })),
  }),
  { minLength: 1, maxLength: 4 },
);

t.test('a damaged file loads, or ends in a ConfigError with lines of the file, and nothing else', async (t) => {
  const files = await makeFiles({ 'main.yaml': mainYaml });
  t.teardown(files.remove);
  const property = fc.asyncProperty(damage, async (edits) => {
    const text = edits.reduce(
      (was, { at, remove, insert }) => was.slice(0, at) + insert + was.slice(at + remove),
      sound,
    );
    await files.write('apps/a.yaml', text);
    try {
      const { apps } = await loadConfig(files.main, {});
      return apps.length > 0 && apps.every((app) => app.domains.length > 0 && Number.isSafeInteger(app.idleTtlMs));
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      const last = text.split(/\r\n|\r|\n/).length + 1;
      return (
        error.problems.length > 0 &&
        error.problems.every(({ line, message }) => line >= 1 && line <= last && message !== '')
      );
    }
  });
  await fc.assert(property, { numRuns: 500 });
  t.pass();
});
