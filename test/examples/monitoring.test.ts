import { readFile } from 'node:fs/promises';
import t from 'tap';
import { parse } from 'yaml';

interface Described {
  readonly type: string;
  readonly labels: ReadonlySet<string>;
}

/** Of docs/metrics.md, which a test compares with the metrics themselves. */
const metrics = new Map<string, Described>();
for (const [, name = '', type = '', labels = ''] of (await readFile('docs/metrics.md', 'utf8')).matchAll(
  /^\| `(\w+)` \| (\w+) \| ([^|]+) \|/gm,
))
  metrics.set(name, { type, labels: new Set([...labels.matchAll(/`(\w+)`/g)].map(([, label = '']) => label)) });

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly gridPos: object;
  readonly targets: readonly { readonly expr: string; readonly legendFormat: string; readonly refId: string }[];
}

interface Board {
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly query: string | { readonly query: string } }[];
  };
}

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly labels: { readonly severity: string };
  readonly annotations: Readonly<Record<'summary' | 'description', string>>;
}

const board = JSON.parse(await readFile('examples/monitoring/grafana-dashboard.json', 'utf8')) as Board;
const [group] = (parse(await readFile('examples/monitoring/alerts.yaml', 'utf8')) as { groups: { rules: Rule[] }[] })
  .groups;
const rules = group?.rules ?? [];

/** What Prometheus itself adds. */
const added = ['job', 'instance', 'le'];

/** What is wrong with the metrics of an expression and their labels. */
function faultsOf(expr: string): string[] {
  const faults: string[] = [];
  const used = new Set<string>();
  for (const [, written = '', matchers = ''] of expr.matchAll(/\b(fastcontainer_\w+)(?:\{([^}]*)\})?/g)) {
    const [, base = written, part] = /^(\w+?)(_bucket|_sum|_count)?$/.exec(written) ?? [];
    const metric = metrics.get(written) ?? metrics.get(base);
    if (!metric) faults.push(`there is no metric ${written}`);
    else if ((metric.type === 'histogram') !== (part !== undefined)) faults.push(`${written} is a ${metric.type}`);
    for (const label of metric?.labels ?? []) used.add(label);
    for (const [, label = ''] of matchers.matchAll(/(\w+) *(?:=~|!~|!=|=)/g))
      if (!metric?.labels.has(label) && !added.includes(label)) faults.push(`${written} has no label ${label}`);
    const isCounter = metric?.type === 'counter' || part !== undefined;
    const isRated = new RegExp(`(?:rate|increase)\\(${written}[^()]*\\[`).test(expr);
    if (metric && isCounter !== isRated)
      faults.push(`${written} is a ${metric.type}${isRated ? ', rated' : ', not rated'}`);
  }
  for (const [, labels = ''] of expr.matchAll(/by \(([^)]*)\)/g))
    for (const label of labels.split(/, */))
      if (!used.has(label) && !added.includes(label)) faults.push(`nothing has the label ${label}`);
  return faults;
}

t.test('the check finds names, labels and types that are wrong', async (t) => {
  const wrong: [string, string][] = [
    ['fastcontainer_boot_total', 'there is no metric fastcontainer_boot_total'],
    ['rate(fastcontainer_boots_total{app="x"}[5m])', 'fastcontainer_boots_total has no label app'],
    ['fastcontainer_boots_total', 'fastcontainer_boots_total is a counter, not rated'],
    ['rate(fastcontainer_request_duration_seconds[5m])', 'fastcontainer_request_duration_seconds is a histogram'],
    ['sum by (runtime) (fastcontainer_instances)', 'nothing has the label runtime'],
  ];
  for (const [expr, fault] of wrong) t.ok(faultsOf(expr).includes(fault), expr);
});

t.test('every panel of the dashboard asks for metrics and labels that there are', async (t) => {
  for (const { title, targets } of board.panels) {
    t.ok(targets.length > 0, title);
    for (const { expr, legendFormat } of targets) {
      t.same(faultsOf(expr), [], `${title}: ${expr}`);
      for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
        t.ok(expr.includes(label), `${title}: ${label}`);
      for (const [, variable = ''] of expr.matchAll(/\$(\w+)/g))
        t.ok(
          variable.startsWith('__') || board.templating.list.some(({ name }) => name === variable),
          `${title}: $${variable}`,
        );
    }
  }
  t.equal(new Set(board.panels.map(({ id }) => id)).size, board.panels.length);
  t.equal(new Set(board.panels.map(({ gridPos }) => JSON.stringify(gridPos))).size, board.panels.length);
});

t.test('every alert watches metrics and labels that there are, and says what to do', async (t) => {
  t.ok(rules.length > 10);
  for (const { alert, expr, labels, annotations } of rules) {
    t.same(faultsOf(expr), [], `${alert}: ${expr}`);
    t.match(labels.severity, /^(critical|warning)$/);
    t.ok(annotations.summary && annotations.description, alert);
    for (const [, label = ''] of annotations.summary.matchAll(/\$labels\.(\w+)/g))
      t.ok(
        added.includes(label) || expr.includes(label) || expr.startsWith('fastcontainer_worker_up'),
        `${alert}: ${label}`,
      );
  }
  t.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length);
});
