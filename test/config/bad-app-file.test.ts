import t from 'tap';
import { appYaml, mainYaml, problemsOf } from './files.js';

/** Lines after a sound app of four lines, and what is said of them. */
const badLines: [title: string, lines: string, problems: string[]][] = [
  ['a word for a number', 'scale:\n  max: many', ['6 scale.max: must be a whole number from 1 to 1000, got "many"']],
  ['a number out of range', 'scale: { max: 0 }', ['5 scale.max: must be a whole number from 1 to 1000, got 0']],
  [
    'a fraction for a whole number',
    'scale: { max: 1.5 }',
    ['5 scale.max: must be a whole number from 1 to 1000, got 1.5'],
  ],
  ['a list for a mapping', 'scale: [1, 3]', ['5 scale: must be a mapping of keys to values, got a list']],
  ['text for a mapping', 'scale: big', ['5 scale: must be a mapping of keys to values, got "big"']],
  [
    'a mapping for text',
    'idleTtl: { a: 1 }',
    ['5 idleTtl: must be a duration from 1ms to 24d such as 5m, got a mapping'],
  ],
  ['nothing for text', 'idleTtl:', ['5 idleTtl: must be a duration from 1ms to 24d such as 5m, got nothing']],
  ['a duration without unit', 'idleTtl: 20', ['5 idleTtl: must be a duration from 1ms to 24d such as 5m, got "20"']],
  [
    'a duration with a wrong unit',
    'idleTtl: 3 weeks',
    ['5 idleTtl: must be a duration from 1ms to 24d such as 5m, got "3 weeks"'],
  ],
  [
    'a duration that is too long',
    'idleTtl: 25d',
    ['5 idleTtl: must be a duration from 1ms to 24d such as 5m, got "25d"'],
  ],
  ['a duration of nothing', 'idleTtl: 0s', ['5 idleTtl: must be a duration from 1ms to 24d such as 5m, got "0s"']],
  [
    'a size without unit',
    'limits: { memory: 128 }',
    ['5 limits.memory: must be unlimited, or a size from 4m to 64t such as 128m, got "128"'],
  ],
  [
    'a size that is too small',
    'limits: { memory: 1k }',
    ['5 limits.memory: must be unlimited, or a size from 4m to 64t such as 128m, got "1k"'],
  ],
  [
    'another word than unlimited',
    'limits: { pids: none, cpus: 0 }',
    [
      '5 limits.pids: must be unlimited, or a whole number from 1 to 4194304, got "none"',
      '5 limits.cpus: must be unlimited, or a number from 0.01 to 1024, got 0',
    ],
  ],
  ['a word for a flag', 'readOnly: yes', ['5 readOnly: must be true or false, got "yes"']],
  ['an unknown key', 'idelTtl: 5m', ['5 idelTtl: unknown key; did you mean idleTtl?']],
  ['an unknown key in a section', 'scale: { maxx: 5 }', ['5 scale.maxx: unknown key; did you mean max?']],
  ...Object.entries({
    volumes: 'write mounts: [{ source: /srv/hello, target: /data }]',
    environment: 'write env: { NAME: value }',
    replicas: 'write scale: { min: 0, max: 3 }',
    healthcheck: 'write readiness: { http: /healthz }',
    ports: 'write port: the one on which the app listens; requests come by its domains',
    img: 'write image: the name of an image that is built',
    depends_on: 'leave it out: each app is booted when it is asked for; what it needs must run',
    restart: 'leave it out: an app that ended is booted again when it is asked for',
    mem_limit: 'write limits: { memory: 256m, cpus: 0.5 }',
    entrypoint: 'write command: [program, argument]',
  }).map(([key, advice]): [string, string, string[]] => [
    `the key ${key} of another tool`,
    `${key}: x`,
    [`5 ${key}: unknown key; ${advice}`],
  ]),
  [
    'the port of the instance in the place of a variable of the daemon',
    'env: { A: "${PORT}" }',
    [
      '5 env.A: ${PORT} is put in when the file is read, but PORT is what each instance gets in its own environment; for a shell in a command write $PORT, as in [sh, -c, \'exec program "$PORT"\']',
    ],
  ],
  ['an unknown key near nothing', 'queue: { colour: 5 }', ['5 queue.colour: unknown key; known here: max, timeout']],
  ['an unknown runtime', 'user: www\nruntme: docker', ['6 runtme: unknown key; did you mean runtime?']],
  ['a key written twice', 'idleTtl: 5m\nidleTtl: 6m', ['6: duplicate key idleTtl']],
  ['a readiness of two kinds', 'readiness: { http: /, tcp: true }', ['5 readiness.tcp: unknown key; known here: http']],
  ['a readiness of none', 'readiness: {}', ['5 readiness.http: is required']],
  [
    'a readiness with a bad path',
    'readiness: { http: healthz }',
    ['5 readiness.http: must be a path such as /healthz, got "healthz"'],
  ],
  ['a readiness that is text', 'readiness: tcp', ['5 readiness: must be { http: PATH } or { tcp: true }, got "tcp"']],
  [
    'a bad name of a variable',
    'env: { "A B": x }',
    ['5 env."A B": the name must be the name of an environment variable'],
  ],
  ['a variable without value', 'env:\n  A:', ['6 env.A: must be text (quote it; "" for an empty value), got nothing']],
  [
    'a variable with a list',
    'env: { A: [1] }',
    ['5 env.A: must be text (quote it; "" for an empty value), got a list'],
  ],
  [
    'a NUL in a variable',
    'env: { A: "a\\0b" }',
    ['5 env.A: must be text (quote it; "" for an empty value), got another value (not shown)'],
  ],
  ['a mount without target', 'mounts: [{ source: /srv }]', ['5 mounts[0].target: is required']],
  [
    'a mount to a relative target',
    'mounts: [{ source: /srv, target: data }]',
    ['5 mounts[0].target: must be an absolute path, got "data"'],
  ],
  [
    'two mounts to one target',
    'mounts:\n - { source: /a, target: /d }\n - { source: /b, target: /d }',
    ['7 mounts[1].target: /d is mounted twice'],
  ],
  [
    'several instances of an app that must not overlap',
    'overlap: false\nscale: { max: 2 }',
    ['5 overlap: false means one instance at a time, but scale.max is 2; set scale.max to 1'],
  ],
  [
    'a minimum above the maximum',
    'scale: { min: 4, max: 3 }',
    ['5 scale.min: must not be above scale.max, got min 4 and max 3'],
  ],
  [
    'a minimum above the default maximum',
    'scale: { min: 2 }',
    ['5 scale.min: must not be above scale.max, got min 2 and max 1, which is the default; write max as well'],
  ],
  [
    'a target above the maximum',
    'concurrency: { target: 200 }',
    [
      '5 concurrency.target: must not be above concurrency.max, got target 200 and max 100, which is the default; write max as well',
    ],
  ],
  [
    'a target above a maximum that is written',
    'concurrency: { target: 20, max: 10 }',
    ['5 concurrency.target: must not be above concurrency.max, got target 20 and max 10'],
  ],
  ['a plan where there are none', 'plan: small', ['5 plan: there is no plan "small"; the main file defines none']],
  ['a port that is none', 'port: 70000', ['5 port: must be a whole number from 1 to 65535, got 70000']],
  [
    'a tag of another language',
    'user: !!js/function x',
    ['5: is not valid YAML: unresolved tag: tag:yaml.org,2002:js/function'],
  ],
  [
    'an unclosed list',
    'mounts: [',
    ['6: is not valid YAML: flow sequence in block collection must be sufficiently indented and end with a ]'],
  ],
  [
    'a wildcard without quotes',
    'errorHeaders: { A: *.a.org }',
    ["5: text that begins with * has to be quoted, as in '*.example.org'"],
  ],
  ['an unknown alias', 'user: *nobody', ['5: aliases (*name) are not supported; write the value out']],
  ['a merge key', '<<: { user: x }', ['5 "<<": unknown key; docs/configuration.md has them all']],
  ['a key that is a list', '? [a, b]\n: c', ['1: has a key that is not text']],
  [
    'labels that are no labels',
    'labels: { "a b": x, note: "two\\nlines", list: [x] }',
    [
      '5 labels."a b": the name must be at most 63 letters, digits and inner dots, slashes, hyphens and underscores',
      '5 labels.note: must be at most 200 characters without line breaks, got "two\\nlines"',
      '5 labels.list: must be at most 200 characters without line breaks, got a list',
    ],
  ],
  [
    'several faults at once',
    'scale: { max: x }\nport: y\nplann: z',
    [
      '5 scale.max: must be a whole number from 1 to 1000, got "x"',
      '6 port: must be a whole number from 1 to 65535, got "y"',
      '7 plann: unknown key; did you mean plan?',
    ],
  ],
];

for (const [title, lines, problems] of badLines) {
  t.test(`an app file is refused for ${title}`, async (t) => {
    const found = await problemsOf({ 'main.yaml': mainYaml, 'apps/a.yaml': appYaml('a', `${lines}\n`) });
    t.strictSame(
      found,
      problems.map((problem) => `apps/a.yaml:${problem}`),
    );
  });
}

const badFiles: [title: string, content: string, problems: string[]][] = [
  ['is empty', '', ['1: is empty; an app needs name, domains and runtime']],
  ['holds only comments', '# nothing\n---\n', ['1: is empty; an app needs name, domains and runtime']],
  ['is a list', '- a\n', ['1: must be a mapping of keys to values, got a list']],
  ['is text', 'hello\n', ['1: must be a mapping of keys to values, got "hello"']],
  ['has no name and no domains', 'runtime: process\n', ['1 name: is required', '1 domains: is required']],
  [
    'has a bad name',
    appYaml('Hello_World'),
    ['1 name: must be a name of at most 40 lower-case letters, digits and inner hyphens, got "Hello_World"'],
  ],
  [
    'has no runtime',
    'name: a\ndomains: a.localhost\n',
    ['1 runtime: is required: process, docker or oci, here, in the plan or in defaults'],
  ],
  [
    'has an unknown runtime',
    'name: a\ndomains: a.localhost\nruntime: podman\n',
    ['3 runtime: must be process, docker or oci, got "podman"'],
  ],
  [
    'runs a process without command',
    'name: a\ndomains: a.localhost\nruntime: process\n',
    ['1 command: is required with runtime process, such as [node, server.js]'],
  ],
  [
    'runs oci without command, with an image of a registry and a published port',
    'name: a\ndomains: a.localhost\nruntime: oci\nimage: hello:1\npublish: true\ncwd: site\n',
    [
      '1 command: is required with runtime oci, such as [node, server.js]',
      '4 image: must be `host`, `rootfs:/PATH`, `oci:/PATH` or `oci:/PATH:TAG`, `docker-archive:/FILE`, or `docker://HOST/NAME:TAG`, with paths in letters, digits and _@%+=.- with runtime oci, got "hello:1"',
      '5 publish: has no use with runtime oci, which publishes no ports',
      '6 cwd: must be an absolute path inside the container, got "site"',
    ],
  ],
  [
    'has a command that is text',
    'name: a\ndomains: a.localhost\nruntime: process\ncommand: node server.js\n',
    ['4 command: must be a list of words such as [node, server.js], got "node server.js"'],
  ],
  [
    'has an empty command',
    'name: a\ndomains: a.localhost\nruntime: process\ncommand: []\n',
    ['4 command: must be a list of words such as [node, server.js], got an empty list'],
  ],
  [
    'has a command without program',
    'name: a\ndomains: a.localhost\nruntime: process\ncommand: [""]\n',
    ['4 command[0]: must name a program, got ""'],
  ],
  [
    'runs docker without image',
    'name: a\ndomains: a.localhost\nruntime: docker\n',
    ['1 image: is required with runtime docker, such as hello:1'],
  ],
  [
    'has an image with a space',
    'name: a\ndomains: a.localhost\nruntime: docker\nimage: hello 1\n',
    ['4 image: must be an image such as hello:1, got "hello 1"'],
  ],
  [
    'has a relative directory in docker',
    'name: a\ndomains: a.localhost\nruntime: docker\nimage: a\ncwd: srv\n',
    ['5 cwd: must be an absolute path inside the container, got "srv"'],
  ],
  [
    'has no domain in its list',
    'name: a\ndomains: []\nruntime: docker\nimage: a\n',
    ['2 domains: must be a host name or a list of host names, got an empty list'],
  ],
  [
    'has a bad second document',
    `${appYaml('a')}---\n${appYaml('b', 'port: x\n')}`,
    ['10 port: must be a whole number from 1 to 65535, got "x"'],
  ],
  [
    'has broken indentation',
    'name: a\n  domains: b\n',
    ['1: is not valid YAML: nested mappings are not allowed in compact mappings'],
  ],
  ['has a tab for indentation', 'scale:\n\tmax: 1\n', ['2: is not valid YAML: tabs are not allowed as indentation']],
  [
    'refers to itself',
    'name: a\nenv: &e\n  A: *e\n',
    ['3: anchors (&name) are not supported', '3: aliases (*name) are not supported; write the value out'],
  ],
  ['is nested without end', '['.repeat(15_000), ['1: is nested too deeply']],
  ['is nested without end in blocks', `name: a\nenv:\n  ${'- '.repeat(9_000)}`, ['3: is nested too deeply']],
];

for (const [title, content, problems] of badFiles) {
  t.test(`an app file is refused that ${title}`, async (t) => {
    const found = await problemsOf({ 'main.yaml': mainYaml, 'apps/a.yaml': content });
    t.ok(found.length >= problems.length, found.join('\n'));
    problems.forEach((problem, index) => {
      t.equal(found[index]?.slice(0, `apps/a.yaml:${problem}`.length), `apps/a.yaml:${problem}`);
    });
  });
}

t.test('aliases that multiply are an error, and nothing is multiplied', async (t) => {
  const levels = Array.from({ length: 12 }, (_, n) => `  L${n + 1}: &l${n + 1} [${`*l${n}, `.repeat(9)}*l${n}]`);
  const bomb = `name: a\nenv:\n  L0: &l0 [x]\n${levels.join('\n')}\n`;
  const found = await problemsOf({ 'main.yaml': mainYaml, 'apps/a.yaml': bomb });
  t.equal(found.length, 10);
  for (const line of found) t.match(line, /(aliases|anchors) .* are not supported/);
});
