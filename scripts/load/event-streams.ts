import { exchange } from './exchange.js';
import { WrongAnswer } from './failure.js';
import type { Load } from './load.js';
import { int } from './random.js';

/** Server-sent events over some seconds; each of them has to arrive, and the end to be clean. */
export function eventStreams(): Load {
  return {
    kind: 'events',
    async once({ port, nextApp, random }, trace) {
      const count = 1 + int(random, 10);
      const path = `/events?count=${count}&ms=${int(random, 400)}`;
      const answer = await exchange({ port, app: nextApp(), path, trace });
      const seen = answer.body.toString().split('\n\n').length - 1;
      if (seen !== count) throw new WrongAnswer(`${seen} of ${count} events arrived`);
      return { kind: 'events', cold: answer.cold, ms: answer.ms };
    },
  };
}
