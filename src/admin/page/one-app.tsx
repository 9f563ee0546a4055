import type { JSX } from 'preact';
import type { Failure, Instance, LedgerEvent, WholeApp } from './api.js';
import { Chart } from './chart.js';
import { Ledger } from './ledger.js';
import { useLive } from './live.js';
import { Operations } from './operations.js';
import { Heading, Refused, Since, Sleeps, State, Table, Until } from './parts.js';
import { keptBy, useOf } from './words.js';

/** Everything of one app. */
export function OneApp({ name, mayOperate }: { readonly name: string; readonly mayOperate: boolean }): JSX.Element {
  const path = encodeURIComponent(name);
  const { answer, refusal, refresh } = useLive<WholeApp>(`v1/apps/${path}`);
  const instances = useLive<readonly Instance[]>(`v1/instances?app=${path}`);
  const ledger = useLive<{ readonly events: readonly LedgerEvent[] }>(`v1/apps/${path}/events`);
  const why = useLive<{ readonly sentence: string }>(`v1/apps/${path}/why`);
  const events = ledger.answer?.body.events;
  const app = answer?.body;
  const changed = () => {
    refresh();
    instances.refresh();
  };
  return (
    <>
      <Heading>{name}</Heading>
      <Refused refusal={refusal} />
      {app && <Summary app={app} why={why.answer?.body.sentence} events={events ?? []} />}
      {app && mayOperate && <Operations app={app} changed={changed} />}
      {app && <Instances app={app} instances={instances.answer?.body ?? []} />}
      {app && events && <Ledger events={events} />}
      {app && (
        <details>
          <summary>Everything that counts for this app</summary>
          <pre tabIndex={0}>{JSON.stringify(app.effective, undefined, 2)}</pre>
        </details>
      )}
    </>
  );
}

interface SummaryProps {
  readonly app: WholeApp;
  /** Why it is awake or asleep, in one sentence. */
  readonly why: string | undefined;
  readonly events: readonly LedgerEvent[];
}

function Summary({ app, why, events }: SummaryProps): JSX.Element {
  const { state, sleepsAt, domains, labels, runtime, plan, pinnedTo, maintenance, breaker, failedRevision, scale } =
    app;
  const rows: readonly (readonly [string, JSX.Element | string | false | undefined])[] = [
    ['State', <State of={state} />],
    ['Sleeps', state === 'ready' && <Sleeps at={sleepsAt} keptBy={keptBy(app)} />],
    ['Why', why],
    ['Last hour', <Chart events={events} />],
    ['Maintenance', maintenance],
    ['Last boot', breaker && <Failed failure={breaker} />],
    ['New revision', failedRevision && <Failed failure={failedRevision} />],
    ['Domains', domains.join(', ')],
    ['Runtime', runtime],
    ['Plan', plan],
    ['Instances', `${scale.min} to ${scale.max}`],
    ['Pinned to', pinnedTo],
    [
      'Labels',
      Object.entries(labels)
        .map(([label, value]) => `${label}=${value}`)
        .join(', '),
    ],
    ['From', sourceOf(app.source)],
  ];
  return (
    <dl>
      {rows.map(
        ([term, told]) =>
          told && (
            <div key={term}>
              <dt>{term}</dt>
              <dd>{told}</dd>
            </div>
          ),
      )}
    </dl>
  );
}

function Failed({ failure }: { readonly failure: Failure }): JSX.Element {
  const { code, message, failures, retryAt } = failure;
  return (
    <>
      failed {failures === 1 ? 'once' : `${failures} times`} ({code}): <q>{message}</q>
      {retryAt !== null && (
        <>
          , tried again in <Until at={retryAt} />
        </>
      )}
    </>
  );
}

function sourceOf({ kind, file, token, host }: WholeApp['source']): string {
  const from =
    kind === 'api' ? `the API, token ${token ?? ''}` : kind === 'file' ? `a file${file ? `, ${file}` : ''}` : kind;
  return host === undefined ? from : `${from}, at ${host}`;
}

interface InstancesProps {
  readonly app: WholeApp;
  readonly instances: readonly Instance[];
}

function Instances({ app, instances }: InstancesProps): JSX.Element {
  if (instances.length === 0) return <p>No instance runs.</p>;
  return (
    <Table
      caption="Instances"
      heads={[
        ['Instance'],
        ['State'],
        ['Use'],
        ['Sleeps'],
        ['Up', 'wide'],
        ['Booted for', 'wide'],
        ['Machine', 'wide'],
      ]}
    >
      {instances.map((instance) => {
        const { id, state, sleepsAt, bootedAt, cause, host, end } = instance;
        return (
          <tr key={id}>
            <th scope="row">{id}</th>
            <td>
              <State of={state} /> {end?.reason}
            </td>
            <td>{useOf(instance)}</td>
            <td>{state === 'ready' && <Sleeps at={sleepsAt} keptBy={keptBy(app)} />}</td>
            <td class="wide">{bootedAt !== null && <Since at={bootedAt} />}</td>
            <td class="wide">{cause}</td>
            <td class="wide">{host}</td>
          </tr>
        );
      })}
    </Table>
  );
}
