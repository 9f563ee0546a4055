import { setTimeout as sleep } from 'node:timers/promises';
import { printable } from '../../config/problem.js';
import { Failure } from '../exit-codes.js';
import { type ApiClient, appPath, type Json } from './api-client.js';
import { jsonLine, type Screen, type Style } from './screen.js';
import { messagesOf } from './sse.js';

export interface EventsOptions {
  /** Only those of this app. */
  readonly app?: string;
  readonly follow: boolean;
  /** How many of before. */
  readonly limit: string;
  readonly json: boolean;
}

const retryMs = 1_000;

/** Tells what happened to instances, and why; with `follow` on and on, also after the daemon was away. */
export async function events(client: ApiClient, screen: Screen, options: EventsOptions): Promise<void> {
  const { app, follow, limit, json } = options;
  const path = app === undefined ? '/v1/events' : appPath(app, '/events');
  const print = (event: Json) => screen.out(json ? `${jsonLine(event)}\n` : eventLine(event, screen));
  if (follow) return followEvents(client, screen, path, limit, print);
  const { body } = await client.ask('GET', path, { query: { limit } });
  if (!Array.isArray(body.events)) throw new Failure(1, 'the answer has no events');
  body.events.forEach(print);
}

/** Goes on until the process ends, or the daemon refuses. */
async function followEvents(
  client: ApiClient,
  screen: Screen,
  path: string,
  limit: string,
  print: (event: Json) => void,
): Promise<void> {
  let last: string | undefined;
  for (let isAway = false; ;) {
    const query = last === undefined ? { limit, follow: 'true' } : { follow: 'true' };
    try {
      const stream = await client.follow(path, { query, headers: { 'last-event-id': last } });
      isAway = false;
      for await (const { id, event, data } of messagesOf(stream)) {
        last = id ?? last;
        if (event === 'message') print(data);
        else if (event === 'gap') screen.err('some events were dropped before they could be read\n');
      }
    } catch (error) {
      // The first attempt tells what is wrong with the command; later ones fail while the daemon is away.
      if (last === undefined || (error instanceof Failure && error.exitCode !== 3 && error.exitCode !== 1)) throw error;
      if (!isAway) screen.err(`${printable((error as Error).message)}\ntrying again\n`);
      isAway = true;
    }
    await sleep(retryMs);
  }
}

const styles: Readonly<Record<string, Style>> = { ready: 'green', failed: 'red', exited: 'red', lost: 'red' };

/** An event in one line, and below it what the app wrote last. */
export function eventLine(event: Json, screen: Screen): string {
  const { at, app, kind, instance, output } = event;
  const time = String(at).replace(/\.\d+Z$/, 'Z');
  const style = styles[String(kind)];
  const shown = String(kind).padEnd(11);
  const parts = [
    screen.style('dim', printable(time)),
    style ? screen.style(style, printable(shown)) : printable(shown),
    printable(String(instance ?? app)),
    printable(detailOf(event)),
  ];
  const lines = typeof output === 'string' && output !== '' ? output.trimEnd().split('\n') : [];
  return [parts.join('  ').trimEnd(), ...lines.map((line) => screen.style('dim', `    | ${printable(line)}`)), ''].join(
    '\n',
  );
}

/** Why, and what else is known. */
function detailOf({ cause, message, request, by, replaces, bootMs, host, kind }: Json): string {
  const asked =
    request &&
    `${request.method} ${request.host}${request.path} by ${request.agent === 'none' ? 'a client without a user agent' : `a ${request.agent}`}${request.client ? ` in ${request.client}` : ''}`;
  return [
    cause && `(${cause})`,
    bootMs !== undefined && `after ${bootMs} ms`,
    asked,
    by && `by ${by}`,
    replaces && `in the place of ${replaces}`,
    message,
    host && kind === 'booting' && `on ${host}`,
  ]
    .filter(Boolean)
    .map(String)
    .join(', ');
}
