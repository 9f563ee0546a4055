import type { JSX } from 'preact';
import type { NodeStatus } from './api.js';
import { useLive } from './live.js';
import { Heading, Refused, State, Table } from './parts.js';

/** The dispatcher processes that share the store. */
export function NodeList(): JSX.Element {
  const { answer, refusal } = useLive<readonly NodeStatus[]>('v1/nodes');
  return (
    <>
      <Heading>Nodes</Heading>
      <Refused refusal={refusal} />
      {answer && (
        <Table
          caption="Dispatcher processes that share the store"
          heads={[
            ['Machine'],
            ['State'],
            ['Instances used'],
            ['Process', 'wide'],
            ['Node', 'wide'],
            ['Runtimes', 'wide'],
          ]}
        >
          {answer.body.map(({ node, host, state, pid, instances, runtimes }) => (
            <tr key={node}>
              <th scope="row">{host}</th>
              <td>
                <State of={state} />
              </td>
              <td>{instances}</td>
              <td class="wide">{pid}</td>
              <td class="wide">{node}</td>
              <td class="wide">
                {Object.entries(runtimes)
                  .map(([name, place]) => `${name}: ${place}`)
                  .join(', ')}
              </td>
            </tr>
          ))}
        </Table>
      )}
    </>
  );
}
