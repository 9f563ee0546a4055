import type { JSX } from 'preact';
import type { LedgerEvent } from './api.js';
import { Since, State } from './parts.js';

/** What happened to the instances of an app, the latest first. */
export function Ledger({ events }: { readonly events: readonly LedgerEvent[] }): JSX.Element {
  return (
    <section aria-labelledby="ledger">
      <h2 id="ledger">What happened</h2>
      {events.length === 0 && <p>Nothing that is still known.</p>}
      <ol class="ledger">
        {events.toReversed().map((event) => (
          <li key={event.id}>
            <State of={event.kind} /> {told(event)}{' '}
            <small>
              <Since at={event.at} /> ago
            </small>
            {event.output !== undefined && <pre tabIndex={0}>{event.output}</pre>}
          </li>
        ))}
      </ol>
    </section>
  );
}

function told({ instance, cause, request, by, message, bootMs }: LedgerEvent): string {
  const asked =
    request &&
    `${request.method} ${request.host}${request.path} (${request.agent}${request.client ? `, ${request.client}` : ''})`;
  const parts = [
    instance,
    cause && `for ${cause}`,
    asked,
    by && `by ${by}`,
    bootMs !== undefined && `after ${bootMs} ms`,
    message,
  ];
  return parts.filter((part) => part !== undefined && part !== false && part !== '').join(', ');
}
