/** The house: main → cli → workers → daemon → house → dispatcher, admin → check, boot, forward, terminate → ports → model. */
const steps = '^src/(check|boot|forward|terminate)/';
const adapters = '^src/(cmdb/(lmdb|redis)|runtime/(process|docker))';

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true, dependencyTypesNot: ['type-only'] } },
    {
      name: 'model-imports-no-technology',
      severity: 'error',
      from: { path: '^src/model/' },
      to: { pathNot: ['^src/model/', '^(node:)?crypto$'] },
    },
    {
      name: 'steps-know-ports-not-adapters',
      severity: 'error',
      from: { path: steps },
      to: { path: [adapters, '^src/(cli|workers|adapters|control|daemon|house|dispatcher|exchange|admin|config|telemetry|main)'] },
    },
    {
      name: 'forward-and-check-stand-alone',
      severity: 'error',
      from: { path: '^src/(forward|check)/' },
      to: { path: '^src/(boot|terminate)/' },
    },
    {
      name: 'ports-know-only-the-model',
      severity: 'error',
      from: { path: '^src/(cmdb/cmdb|runtime/runtime)\\.ts$' },
      to: { pathNot: '^src/model/' },
    },
    {
      name: 'only-the-composition-knows-adapters',
      severity: 'error',
      from: { pathNot: [adapters, '^src/(adapters|host-checks)\\.ts$'] },
      to: { path: adapters },
    },
    {
      name: 'redis-apart',
      severity: 'error',
      from: { path: '^src/cmdb/redis' },
      to: { path: ['^src/cmdb/lmdb', '^src/runtime/'] },
    },
    {
      name: 'lmdb-apart',
      severity: 'error',
      from: { path: '^src/cmdb/lmdb' },
      to: { path: ['^src/cmdb/redis', '^src/runtime/'] },
    },
    {
      name: 'process-apart',
      severity: 'error',
      from: { path: '^src/runtime/process' },
      to: { path: ['^src/runtime/docker', '^src/cmdb/'] },
    },
    {
      name: 'docker-apart',
      severity: 'error',
      from: { path: '^src/runtime/docker' },
      to: { path: ['^src/runtime/process', '^src/cmdb/'] },
    },
    {
      name: 'nothing-above-the-cli',
      severity: 'error',
      from: { pathNot: '^src/(main|cli/)' },
      to: { path: '^src/(main\\.ts|cli/)', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'nothing-above-the-workers',
      severity: 'error',
      from: { pathNot: '^src/(main|cli/|workers/)' },
      to: { path: '^src/workers/', dependencyTypesNot: ['type-only'] },
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
