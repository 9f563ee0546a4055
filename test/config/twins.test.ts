import t from 'tap';
import { appYaml, loadFiles, mainYaml, problemsOf } from './files.js';

t.test('a name used twice is refused with both places', async (t) => {
  const found = await problemsOf({
    'main.yaml': mainYaml,
    'apps/a.yaml': appYaml('a'),
    'apps/b.yaml': `# b\n${appYaml('a').replace('a.localhost', 'b.localhost')}`,
  });
  t.equal(found.length, 1);
  t.match(found[0], /^apps\/b\.yaml:2 name: app a is also in .*apps\/a\.yaml:1$/);
});

t.test('a domain used twice is refused with both apps and places, however it is written', async (t) => {
  const found = await problemsOf({
    'main.yaml': mainYaml,
    'apps/a.yaml': 'name: a\ndomains:\n  - x.localhost\n  - BÜCHER.example.\nruntime: docker\nimage: a\n',
    'apps/b.yaml': 'name: b\ndomains: [y.localhost, xn--bcher-kva.example]\nruntime: docker\nimage: b\n',
    'apps/c.yaml': 'name: c\ndomains: [c.localhost, C.localhost]\nruntime: docker\nimage: c\n',
  });
  t.strictSame(
    found.toSorted().map((line) => line.replace(/\(.*apps/, '(apps')),
    [
      'apps/b.yaml:2 domains[1]: xn--bcher-kva.example belongs to app a already (apps/a.yaml:4)',
      'apps/c.yaml:2 domains[1]: c.localhost is listed twice',
    ],
  );
});

t.test('the same wildcard and its exact name are different domains', async (t) => {
  const { apps } = await loadFiles({
    'main.yaml': mainYaml,
    'apps/a.yaml': appYaml('a').replace('a.localhost', '"*.x.localhost"'),
    'apps/b.yaml': appYaml('b').replace('b.localhost', 'b.x.localhost'),
  });
  t.equal(apps.length, 2);
});
