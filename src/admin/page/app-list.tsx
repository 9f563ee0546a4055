import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import type { AppSummary, LedgerEvent } from './api.js';
import { Chart } from './chart.js';
import { useEvents, useLive } from './live.js';
import { Heading, Refused, Sleeps, State, Table } from './parts.js';
import { linkTo } from './place.js';
import { counted, keptBy } from './words.js';

/** Apps on one screen: few enough to be drawn again whenever something changes. */
const onScreen = 50;

const states = ['ready', 'booting', 'paused', 'ending', 'failed', 'asleep', 'removed'];

/** Pause after the last key until what was typed is looked for. */
const typingMs = 300;

/** All apps, by pages and filters of the API; `query` is what the address says of them. */
export function AppList({ query }: { readonly query: URLSearchParams }): JSX.Element {
  const asked = new URLSearchParams(query);
  asked.set('limit', String(onScreen));
  const { answer, refusal } = useLive<readonly AppSummary[]>(`v1/apps?${asked.toString()}`);
  const apps = answer?.body;
  const events = byApp(useEvents());
  return (
    <>
      <Heading>Apps</Heading>
      <Filter query={query} />
      <Refused refusal={refusal} />
      <p role="status">{apps ? told(apps.length, answer?.next !== undefined) : 'Loading …'}</p>
      {apps && apps.length > 0 && (
        <Table
          caption="Apps in the order of their names"
          heads={[
            ['App'],
            ['State'],
            ['Sleeps'],
            ['Last hour', 'wide'],
            ['Instances', 'wide'],
            ['Plan', 'wide'],
            ['Labels', 'wide'],
          ]}
        >
          {apps.map((app) => (
            <Row key={app.name} app={app} events={events.get(app.name) ?? []} />
          ))}
        </Table>
      )}
      <nav aria-label="Pages">
        {query.has('after') && <a href={linkTo('apps', without(query, 'after'))}>First page</a>}
        {answer?.next && <a href={linkTo('apps', without(answer.next, 'limit'))}>Next page</a>}
      </nav>
    </>
  );
}

function Row({ app, events }: { readonly app: AppSummary; readonly events: readonly LedgerEvent[] }): JSX.Element {
  const { name, domains, state, sleepsAt, instances, maintenance, plan = '', labels } = app;
  return (
    <tr>
      <th scope="row">
        <a href={linkTo('app', { name })}>{name}</a>
        <small>
          {domains[0]}
          {domains.length > 1 && ` and ${domains.length - 1} more`}
        </small>
      </th>
      <td>
        <State of={state} />
        {maintenance !== undefined && <span class="state state-maintenance">maintenance</span>}
      </td>
      <td>{state === 'ready' && <Sleeps at={sleepsAt} keptBy={keptBy(app)} />}</td>
      <td class="wide">
        <Chart events={events} />
      </td>
      <td class="wide">{counted(instances)}</td>
      <td class="wide">{plan}</td>
      <td class="wide">
        {Object.entries(labels)
          .map(([label, value]) => `${label}=${value}`)
          .join(' ')}
      </td>
    </tr>
  );
}

const fields = [
  { name: 'text', label: 'Name or domain', hint: '' },
  { name: 'label', label: 'Label', hint: 'NAME or NAME=VALUE' },
  { name: 'plan', label: 'Plan', hint: '' },
] as const;

/** Changes the address, which is what a list follows; so each filter can be linked to. */
function Filter({ query }: { readonly query: URLSearchParams }): JSX.Element {
  const [typed, type] = useState<Readonly<Record<string, string>>>({});
  const apply = (given: Readonly<Record<string, string>>) => {
    const next = without(query, 'after');
    for (const [name, value] of Object.entries(given)) {
      if (value === '') next.delete(name);
      else next.set(name, value);
    }
    location.replace(linkTo('apps', next));
  };
  useEffect(() => {
    if (Object.keys(typed).length === 0) return;
    const timer = setTimeout(() => {
      apply(typed);
      type({});
    }, typingMs);
    return () => clearTimeout(timer);
  }, [typed]);
  return (
    <form role="search" class="filter" onSubmit={(event) => (event.preventDefault(), apply(typed))}>
      {fields.map(({ name, label, hint }) => (
        <label key={name}>
          {label}
          <input
            type="search"
            name={name}
            placeholder={hint}
            maxLength={200}
            value={typed[name] ?? query.get(name) ?? ''}
            onInput={({ currentTarget: { value } }) => type({ ...typed, [name]: value })}
          />
        </label>
      ))}
      <label>
        State
        <select
          name="state"
          value={query.get('state') ?? ''}
          onChange={(event) => apply({ state: event.currentTarget.value })}
        >
          <option value="">any</option>
          {states.map((state) => (
            <option key={state} value={state}>
              {state}
            </option>
          ))}
        </select>
      </label>
    </form>
  );
}

function without(query: URLSearchParams, name: string): URLSearchParams {
  const rest = new URLSearchParams(query);
  rest.delete(name);
  return rest;
}

function byApp(events: readonly LedgerEvent[]): ReadonlyMap<string, readonly LedgerEvent[]> {
  const found = new Map<string, LedgerEvent[]>();
  for (const event of events) {
    const known = found.get(event.app);
    if (known) known.push(event);
    else found.set(event.app, [event]);
  }
  return found;
}

function told(count: number, hasNext: boolean): string {
  if (count === 0) return 'No app fits.';
  return `${count} ${count === 1 ? 'app' : 'apps'}${hasNext ? ', and more on the next page' : ''}.`;
}
