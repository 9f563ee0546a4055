/**
 * The house, from the roof down: cli → daemon → entrance → dispatch → check, wake, boot, forward, terminate → uses → membership → admin →
 * config, telemetry, certify → cmdb, runtime (the ports) → machine → model → libraries. A room imports from its own floor only itself, and else from the
 * floors below. Adapters hang beside the ports.
 */
const floors = [
  ['cli'],
  ['daemon'],
  ['entrance'],
  ['dispatch'],
  ['check', 'wake', 'boot', 'forward', 'terminate'],
  ['uses'],
  ['membership'],
  ['admin'],
  ['config', 'telemetry', 'certify'],
  ['cmdb', 'runtime'],
  ['machine'],
  ['model'],
  ['libraries'],
];
const room = (name) => `^src/${name}/`;
const adapters = '^src/(cmdb/(lmdb|redis)|runtime/(process|docker|oci))';

/** A room may import itself and the rooms of all floors below its own. */
const oneWay = floors.flatMap((rooms, floor) =>
  rooms.map((name) => ({
    name: `${name}-imports-downward`,
    severity: 'error',
    from: { path: room(name) },
    to: {
      path: '^src/',
      pathNot: [room(name), ...floors.slice(floor + 1).flat().map(room)],
    },
  })),
);

/** What else holds, by the path that imports and the path that it must not import. */
const apart = [
  ['the-steps-know-no-edges', '^src/(entrance|dispatch|check|wake|boot|forward|terminate|uses|membership)/', '^src/(admin|config|telemetry)/'],
  ['ports-know-only-the-model', '^src/(cmdb/cmdb|runtime/runtime)\\.ts$', '^src/(?!model/|cmdb/cmdb|runtime/runtime)'],
  ['stores-and-runtimes-apart', '^src/cmdb/', '^src/runtime/'],
  ['runtimes-and-stores-apart', '^src/runtime/', '^src/cmdb/'],
  ['redis-apart', '^src/cmdb/redis', '^src/cmdb/lmdb'],
  ['lmdb-apart', '^src/cmdb/lmdb', '^src/cmdb/redis'],
  ['process-apart', '^src/runtime/process', '^src/runtime/(docker|oci)'],
  ['docker-apart', '^src/runtime/docker', '^src/runtime/(process|oci)'],
  ['oci-apart', '^src/runtime/oci', '^src/runtime/(process|docker)'],
  ['shared-of-runtimes-apart', '^src/runtime/(kept|network|mounts|output)/', '^src/runtime/(process|docker|oci)'],
].map(([name, from, to]) => ({ name, severity: 'error', from: { path: from }, to: { path: to } }));

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true, dependencyTypesNot: ['type-only'] } },
    ...oneWay,
    ...apart,
    {
      name: 'every-file-has-a-room',
      severity: 'error',
      from: {
        path: '^src/',
        pathNot: [
          '^src/(cli|daemon|entrance|dispatch|check|wake|boot|forward|terminate|uses|membership|admin|config|telemetry|certify|cmdb|runtime|machine|model|libraries)/',
          '^src/(main|worker-main)\\.ts$',
        ],
      },
      to: {},
    },
    {
      name: 'model-imports-no-technology',
      severity: 'error',
      from: { path: '^src/model/' },
      // typebox says what data looks like, and does nothing.
      to: { pathNot: ['^src/model/', '^(node:)?(crypto|net|url)$', '(^|node_modules/)typebox/'] },
    },
    {
      name: 'only-the-composition-knows-adapters',
      severity: 'error',
      from: { pathNot: [adapters, '^src/(daemon/adapters|cli/host-checks/adapter-checks)\\.ts$'] },
      to: { path: adapters },
    },
    {
      name: 'bundled-libraries-are-loaded-in-one-place',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/libraries/' },
      to: { path: '(^|node_modules/)(fastify|ioredis|prom-client|undici|yaml)/', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'dev-dependencies-stay-out',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
    { name: 'no-orphans', severity: 'error', from: { orphan: true, pathNot: '\\.d\\.ts$' }, to: {} },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { extensions: ['.ts', '.js'], conditionNames: ['import', 'node'], mainFields: ['module', 'main'] },
  },
};
