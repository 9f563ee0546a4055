import t from 'tap';
import { agentClassOf } from '../../src/wake/agent-class.js';

t.test('a user agent is told by its class', async (t) => {
  const rows: readonly (readonly [string | undefined, string])[] = [
    [undefined, 'none'],
    [' ', 'none'],
    ['Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0', 'browser'],
    ['Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)', 'bot'],
    ['Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)', 'monitor'],
    ['curl/8.5.0', 'program'],
    ['Nikto/2.5', 'scanner'],
    ['x'.repeat(100_000), 'program'],
  ];
  for (const [agent, expected] of rows) t.equal(agentClassOf(agent), expected, agent?.slice(0, 60) ?? 'absent');
});
