import type { Cmdb, Session } from '../cmdb/cmdb.js';
import type { Route } from './route.js';

/** A node that has a session in the store. */
export interface NodeStatus {
  readonly session: Session;
  /** It has not been seen to beat for as long as a session lives. */
  readonly isSilent: boolean;
}

export interface NodesSource {
  readonly cmdb: Pick<Cmdb, 'list'>;
  /** As of now. Throws if the store cannot be reached. */
  readonly nodes: () => Promise<readonly NodeStatus[]>;
}

const nodesSchema = {
  type: 'array',
  items: {
    type: 'object',
    required: ['node', 'host', 'state', 'pid', 'runtimes', 'instances'],
    properties: {
      node: { type: 'string', description: 'Random name of this life of the dispatcher process.' },
      host: { type: 'string', description: 'Its machine.' },
      state: {
        enum: ['alive', 'silent'],
        description:
          '`silent`: it has not been heard of for as long as a session lives. It may be dead or out of reach.',
      },
      pid: { type: 'integer', description: 'Of its process, as its machine counts.' },
      runtimes: {
        type: 'object',
        description:
          'By name, the directory or engine that each of its runtimes is; only those whose identity is known.',
        additionalProperties: { type: 'string' },
      },
      instances: { type: 'integer', description: 'How many instances it is a user of.' },
    },
  },
} as const;

export function nodeRoutes({ cmdb, nodes }: NodesSource): readonly Route[] {
  return [
    {
      method: 'GET',
      path: '/v1/nodes',
      scope: 'read',
      isWide: true,
      summary: 'Lists the dispatcher processes that share the store.',
      answers: { 200: { description: 'The nodes.', schema: nodesSchema } },
      errors: [],
      handle: async () => {
        const known = await nodes();
        const uses = new Map<string, number>();
        for await (const { deployment } of cmdb.list('active')) {
          for (const user of deployment.instances.flatMap(({ users }) => Object.keys(users)))
            uses.set(user, (uses.get(user) ?? 0) + 1);
        }
        const body = known.map((node) => nodeView(node, uses.get(node.session.incarnation) ?? 0));
        return { body: body.toSorted((a, b) => (`${a.host} ${a.node}` < `${b.host} ${b.node}` ? -1 : 1)) };
      },
    },
  ];
}

function nodeView({ session, isSilent }: NodeStatus, instances: number) {
  const { incarnation: node, host, process, runtimes = {} } = session;
  const places = Object.entries(runtimes).map(([name, { place }]) => [name, place] as const);
  const state = isSilent ? 'silent' : 'alive';
  return { node, host, state, pid: process.pid, runtimes: Object.fromEntries(places), instances };
}
