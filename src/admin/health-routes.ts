import type { Route } from './route.js';

export interface Readiness {
  readonly ready: boolean;
  readonly checks: Readonly<Record<string, { readonly ok: boolean; readonly detail?: string }>>;
}

export interface HealthSource {
  readonly version: string;
  /** The answer of `/metrics`. */
  readonly exposition: { readonly contentType: string; metrics(): Promise<string> };
  readonly readiness: () => Readiness;
}

const readinessSchema = {
  type: 'object',
  required: ['status', 'checks'],
  properties: { status: { enum: ['ready', 'not ready'] }, checks: { type: 'object' } },
};

export function healthRoutes({ version, exposition, readiness }: HealthSource): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/healthz',
      scope: 'none',
      summary: 'Says that the daemon lives.',
      answers: {
        200: {
          description: 'It lives.',
          schema: { type: 'object', properties: { status: { const: 'ok' }, version: { type: 'string' } } },
        },
      },
      errors: [],
      handle: () => ({ body: { status: 'ok', version } }),
    },
    {
      method: 'GET',
      path: '/readyz',
      scope: 'read',
      isWide: true,
      summary: 'Says whether the daemon can serve, and why not.',
      answers: {
        200: { description: 'It can.', schema: readinessSchema },
        503: { description: 'It cannot.', schema: readinessSchema },
      },
      errors: [],
      handle: () => {
        const { ready, checks } = readiness();
        return { status: ready ? 200 : 503, body: { status: ready ? 'ready' : 'not ready', checks } };
      },
    },
    {
      method: 'GET',
      path: '/metrics',
      scope: 'read',
      isWide: true,
      summary: 'Metrics in the text format of Prometheus.',
      answers: { 200: { description: 'The metrics.', type: 'text/plain' } },
      errors: [],
      handle: async () => ({ type: exposition.contentType, body: await exposition.metrics() }),
    },
  ];
}
