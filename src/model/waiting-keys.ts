import { choice, text } from './schema/fields.js';

/** Where a template wants what follows the boot. */
export const followPlaceholder = '{{follow}}';

export const waitingKeys = {
  waiting: choice(['hold', 'page'], {
    description:
      'What a browser that opens a page gets while the app boots: `hold` lets it wait, `page` shows a page at once that opens the app when it is ready. All other requests wait (docs/waiting.md).',
    default: 'hold',
    examples: ['page'],
    customer: true,
    later: true,
  }),
  waitingPage: text({
    pattern: '^[^\\0]{0,8192}$',
    fault: (written) =>
      written === '' || written.split(followPlaceholder).length === 2
        ? undefined
        : `must have the placeholder ${followPlaceholder} once`,
    expects: 'HTML of at most 8192 characters',
    description:
      'HTML of the page for `waiting: page`, with the placeholders `{{follow}}` (once; what follows the boot) and `{{domain}}`.',
    defaultText: 'a plain page',
    default: '',
    examples: ['<!doctype html><title>{{domain}}</title><p id="waiting" role="status">Starting …</p>{{follow}}'],
    later: true,
  }),
};
