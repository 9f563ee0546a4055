import t from 'tap';
import { interpolate } from '../../src/config/interpolate.js';
import { appYaml, loadFiles, mainYaml, problemsOf } from './files.js';

t.test('variables and fallbacks are put in', async (t) => {
  const env = { A: 'a', EMPTY: '', NESTED: '${A}$$' };
  const texts: [string, string][] = [
    ['${A}', 'a'],
    ['x${A}y${A}', 'xaya'],
    ['${B:-b}', 'b'],
    ['${B:-}', ''],
    ['${EMPTY}', ''],
    ['${EMPTY:-b}', 'b'],
    ['${B:-a: b, c}', 'a: b, c'],
    ['$$', '$'],
    ['$${A}', '${A}'],
    ['$$$${A}', '$${A}'],
    ['$A costs $5', '$A costs $5'],
    ['${NESTED}', '${A}$$'],
  ];
  for (const [written, text] of texts) t.equal(interpolate(written, env).text, text, written);
});

t.test('what cannot be put in is named', async (t) => {
  const faults: [string, string][] = [
    ['${B}', 'environment variable B is not set; set it or write ${B:-fallback}'],
    ['${}', '${} is not ${VAR} or ${VAR:-fallback}; write $$ for a literal $'],
    ['${A B}', '${A B} is not ${VAR} or ${VAR:-fallback}; write $$ for a literal $'],
    ['${A:?x}', '${A:?x} is not ${VAR} or ${VAR:-fallback}; write $$ for a literal $'],
    ['${A', '${A is not closed; write $$ for a literal $'],
  ];
  for (const [written, fault] of faults) t.strictSame(interpolate(written, { A: 'a' }).faults, [fault], written);
});

t.test('numbers, flags, durations and sizes may come from the environment, quoted or not', async (t) => {
  const env = { MAX: '3', RO: 'true', TTL: '5m', MEMORY: '128m', CPUS: '0.5', DOMAIN: 'x.localhost' };
  const lines =
    'scale:\n  max: ${MAX}\nreadOnly: ${RO}\nidleTtl: ${TTL}\nlimits: { memory: "${MEMORY}", cpus: "${CPUS}" }\nenv: { A: "${MAX}", B: "${RO}" }\n';
  const { apps } = await loadFiles(
    { 'main.yaml': mainYaml, 'apps/a.yaml': appYaml('a', lines).replace('a.localhost', '"${DOMAIN}"') },
    env,
  );
  t.match(apps[0], {
    domains: ['x.localhost'],
    scale: { max: 3 },
    readOnly: true,
    idleTtlMs: 300_000,
    env: { A: '3', B: 'true' },
  });
  t.match(apps[0]?.limits, { memoryBytes: 134_217_728, cpus: 0.5 });
});

t.test('a number in quotes is not a number', async (t) => {
  const found = await problemsOf({ 'main.yaml': mainYaml, 'apps/a.yaml': appYaml('a', 'scale: { max: "3" }\n') });
  t.strictSame(found, ['apps/a.yaml:5 scale.max: must be a whole number from 1 to 1000, got "3"']);
});

t.test('values cannot inject structure', async (t) => {
  const env = { EVIL: 'x\nscale: { max: 99 }\n"' };
  const { apps } = await loadFiles({ 'main.yaml': mainYaml, 'apps/a.yaml': appYaml('a', 'env:\n  A: ${EVIL}\n') }, env);
  t.equal(apps[0]?.env['A'], env.EVIL);
  t.equal(apps[0]?.scale.max, 1);
});

t.test('variables that are not set are all named with their places, and nothing else is said of them', async (t) => {
  const lines = 'scale:\n  max: ${MAX}\nenv:\n  A: ${A}\nidleTtl: ${TTL}\n';
  const found = await problemsOf({ 'main.yaml': 'cmdb: redis://:${PASSWORD}@h\n', 'apps/a.yaml': appYaml('a', lines) });
  t.strictSame(found, [
    'main.yaml:1 cmdb: environment variable PASSWORD is not set; set it or write ${PASSWORD:-fallback}',
    'apps/a.yaml:6 scale.max: environment variable MAX is not set; set it or write ${MAX:-fallback}',
    'apps/a.yaml:8 env.A: environment variable A is not set; set it or write ${A:-fallback}',
    'apps/a.yaml:9 idleTtl: environment variable TTL is not set; set it or write ${TTL:-fallback}',
  ]);
});

t.test('keys are not interpolated', async (t) => {
  const found = await problemsOf(
    { 'main.yaml': mainYaml, 'apps/a.yaml': appYaml('a', '"${KEY}": 5\n') },
    { KEY: 'port' },
  );
  t.strictSame(found, ['apps/a.yaml:5 "${KEY}": unknown key; docs/configuration.md has them all']);
});
