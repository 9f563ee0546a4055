import type { Clock, Timer } from '../model/clock.js';
import { errorTable, RequestError } from '../model/errors.js';
import type { Awaited } from './awaited-boots.js';
import type { RequestExchange } from './exchange.js';

/** Between signs of life, which also show that the client is still there. */
const beatMs = 15_000;

/**
 * Answers with a stream of server-sent events that ends with one event: `ready`, `failed` with what to tell people, or `asleep` if nothing
 * is under way. Resolves to what was told, or that the client went.
 */
export async function tellEnd(
  { res }: Pick<RequestExchange, 'res'>,
  end: Awaited | 'asleep' | Promise<Awaited>,
  clock: Clock,
): Promise<Awaited | 'asleep' | 'gone'> {
  res.writeHead(200, {
    'Content-Type': 'text/event-stream',
    'Cache-Control': 'no-store',
    // nginx would keep it back.
    'X-Accel-Buffering': 'no',
  });
  res.write(': waiting\n\n');
  let timer: Timer | undefined;
  const beat = () => {
    res.write(':\n\n');
    timer = clock.after(beatMs, beat);
  };
  timer = clock.after(beatMs, beat);
  const gone = new Promise<'gone'>((resolve) => {
    res.once('close', () => resolve('gone'));
  });
  const told = await Promise.race([end, gone]);
  timer.cancel();
  if (told !== 'gone') res.end(eventOf(told));
  return told;
}

function eventOf(end: Awaited | 'asleep'): string {
  if (!(end instanceof RequestError)) return `event: ${end}\ndata: .\n\n`;
  const { title, advice } = errorTable[end.code];
  return `event: failed\ndata: ${title}. ${advice} Reference: ${end.reference}\n\n`;
}
