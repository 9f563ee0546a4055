import t from 'tap';
import { appYaml, loadFiles } from './files.js';

t.test('app wins over plan, plan over defaults, defaults over built-in, key by key', async (t) => {
  const { apps } = await loadFiles({
    'main.yaml': `
defaults: { idleTtl: 1m, maxLifetime: 1h, bootTimeout: 1s, scale: { min: 1, max: 2 }, env: { A: d, B: d, C: d }, limits: { memory: 1g, pids: 1, cpus: 1 } }
plans:
  small: { idleTtl: 2m, maxLifetime: 2h, scale: { max: 3 }, env: { A: p, B: p }, limits: { pids: 2, files: unlimited }, readiness: { http: /p } }
`,
    'apps/a.yaml': appYaml(
      'a',
      'plan: small\nlimits: { memory: unlimited }\nidleTtl: 3m\nenv: { A: a }\nqueue: { max: 9 }\n',
    ),
    'apps/b.yaml': appYaml('b', 'readiness: { tcp: true }\nscale: { max: 9 }\n'),
    'apps/c.yaml': appYaml('c', 'plan: small\nreadiness: { tcp: true }\n'),
  });
  t.match(apps[0], {
    idleTtlMs: 180_000,
    maxLifetimeMs: 7_200_000,
    bootTimeoutMs: 1000,
    drainTimeoutMs: 30_000,
    scale: { min: 1, max: 3 },
    queue: { max: 9, timeoutMs: 45_000 },
    readiness: { http: '/p' },
  });
  t.strictSame(apps[0]?.env, { A: 'a', B: 'p', C: 'd' });
  t.strictSame(apps[0]?.limits, { cpus: 1, cpuWeight: 100, pids: 2 }, 'unlimited wins over the figure below');
  t.match(apps[1], { idleTtlMs: 60_000, scale: { min: 1, max: 9 } });
  t.strictSame(apps[2]?.readiness, { tcp: true }, 'a readiness is taken whole');
});

t.test('labels come from app, plan and defaults, name by name', async (t) => {
  const { apps } = await loadFiles({
    'main.yaml': 'defaults: { labels: { a: d, b: d, c: d } }\nplans: { small: { labels: { a: p, b: p } } }\n',
    'apps/a.yaml': appYaml('a', 'plan: small\nlabels: { a: own }\n'),
  });
  t.strictSame(apps[0]?.labels, { a: 'own', b: 'p', c: 'd' });
});

t.test('the runtime may come from the defaults', async (t) => {
  const { apps } = await loadFiles({
    'main.yaml': 'defaults: { runtime: docker }',
    'apps/a.yaml': 'name: a\ndomains: a.localhost\nimage: a\n',
  });
  t.equal(apps[0]?.runtime, 'docker');
});
