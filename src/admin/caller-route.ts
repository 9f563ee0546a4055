import { scopes } from './caller.js';
import type { Route } from './route.js';

/** Tells a client what its token may do, so that it offers nothing that would be refused. */
export const callerRoute: Route = {
  method: 'GET',
  path: '/v1/caller',
  scope: 'read',
  summary: 'Tells what the token that is sent may do.',
  answers: {
    200: {
      description: 'The name of the token and its scope.',
      schema: {
        type: 'object',
        required: ['name', 'scope'],
        properties: {
          name: { type: 'string', description: 'As the audit log has it.' },
          scope: { enum: scopes },
          labels: {
            type: 'object',
            additionalProperties: { type: 'string' },
            description: 'It knows only apps with all of them. Absent if it knows all apps.',
          },
        },
      },
    },
  },
  errors: [],
  handle: ({ caller: { name, scope, labels } }) => ({ body: { name, scope, ...(labels && { labels }) } }),
};
