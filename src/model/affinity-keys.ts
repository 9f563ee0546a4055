import { choice, either, section, text } from './schema/fields.js';

/** Headers that mean something to HTTP itself, or to proxies: a tag at their end would change that. */
const taken =
  /^(?:host|connection|keep-alive|te|trailer|upgrade|expect|cookie|set-cookie|authorization|www-authenticate|date|location|link|etag|vary|age|allow|server|via|retry-after|accept.*|content-.*|transfer-.*|proxy.*|if-.*|cache-.*|last-.*|access-.*|sec-.*|strict-.*|forwarded|x-forwarded-.*|x-fastcontainer.*)$/i;

export const affinityKeys = {
  affinity: either(
    [
      choice(['none', 'cookie'], { description: 'None, or by a cookie of the dispatcher.', examples: ['cookie'] }),
      section(
        {
          cookie: text({
            pattern: "^[A-Za-z0-9!#$%&'*+.^_`|-]{1,100}$",
            expects: 'the name of a cookie',
            description: "By this cookie of the app's.",
            examples: ['PHPSESSID'],
          }),
        },
        {},
      ),
      section(
        {
          header: text({
            pattern: "^[A-Za-z0-9!#$%&'*+.^_`|-]{1,100}$",
            fault: (written) => (taken.test(written) ? 'must be a header of the app’s own' : undefined),
            expects: 'the name of a header',
            description: 'By this header, which the app gives in an answer and clients send from then on.',
            examples: ['mcp-session-id'],
          }),
        },
        {},
      ),
    ],
    {
      description:
        'Whether requests of one client go to the same instance: `none`; `cookie`, by a cookie of the dispatcher; `{ cookie: NAME }` or ' +
        '`{ header: NAME }`, by one of the app. See docs/affinity.md.',
      default: 'none',
      examples: ['cookie', { header: 'mcp-session-id' }],
      expects: 'none, cookie, a mapping with cookie, or a mapping with header',
      customer: true,
      later: true,
    },
  ),
};
