import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { Refusal, WholeApp } from './api.js';
import { useSource } from './live.js';
import { Refused } from './parts.js';

interface OperationsProps {
  readonly app: WholeApp;
  /** Something was asked for. */
  readonly changed: () => void;
}

const operations = [
  { action: 'boot', title: 'Start an instance' },
  { action: 'restart', title: 'Replace instances in use one after the other, end the others' },
  { action: 'drain', title: 'Send no new request to what runs; it ends when its requests have' },
  { action: 'stop', title: 'End all instances; the next request wakes the app again' },
] as const;

interface Outcome {
  readonly said: string;
  readonly refusal?: Refusal;
}

/** Buttons for what may be asked of an app. Each call waits until it is done; meanwhile the page goes on. */
export function Operations({ app, changed }: OperationsProps): JSX.Element {
  const { api } = useSource();
  const [{ said, refusal }, tell] = useState<Outcome>({ said: '' });
  const path = `v1/apps/${encodeURIComponent(app.name)}`;
  const run = (action: string, call: () => Promise<{ readonly done?: boolean }>) => {
    tell({ said: `${action} …` });
    setTimeout(changed, 300);
    void call()
      .then(
        ({ done = true }) => tell({ said: done ? `${action}: done.` : `${action}: begun, and goes on.` }),
        (error: Refusal) => tell({ said: '', refusal: error }),
      )
      .then(changed);
  };
  return (
    <section aria-label="Operations">
      <p class="buttons">
        {operations.map(({ action, title }) => (
          <button
            key={action}
            type="button"
            title={title}
            onClick={() => run(action, () => api.send('POST', `${path}/${action}`))}
          >
            {action}
          </button>
        ))}
      </p>
      <Maintenance
        order={(order) =>
          run('maintenance', () =>
            order ? api.send('PUT', `${path}/maintenance`, order) : api.send('DELETE', `${path}/maintenance`),
          )
        }
      />
      <p role="status">{said}</p>
      <Refused refusal={refusal} />
    </section>
  );
}

interface MaintenanceOrder {
  readonly mode: string;
  readonly text?: string;
}

/** `order` gets undefined if it is left to the app itself. */
function Maintenance({ order }: { readonly order: (order: MaintenanceOrder | undefined) => void }): JSX.Element {
  const [mode, choose] = useState('page');
  const [text, type] = useState('');
  const submit = (event: Event) => {
    event.preventDefault();
    order(mode === 'app' ? undefined : { mode, ...(text !== '' && mode !== 'off' && { text }) });
  };
  return (
    <form class="filter" aria-label="Maintenance" onSubmit={submit}>
      <label>
        Maintenance
        <select value={mode} onChange={(event) => choose(event.currentTarget.value)}>
          <option value="page">answer with a page</option>
          <option value="hold">let requests wait</option>
          <option value="off">off</option>
          <option value="app">as the app says</option>
        </select>
      </label>
      <label>
        Text for visitors
        <input maxLength={2_000} value={text} onInput={(event) => type(event.currentTarget.value)} />
      </label>
      <button type="submit">set</button>
    </form>
  );
}
