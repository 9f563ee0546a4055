import { StringDecoder } from 'node:string_decoder';
import { isMapping } from '../../model/schema/shape.js';
import type { Json } from './api-client.js';

/** One message of a stream of server-sent events. */
export interface Message {
  readonly id: string | undefined;
  readonly event: string;
  readonly data: Json;
}

/** A longer line is no message of this API. */
const longestLine = 1024 * 1024;

/** The messages of a stream, as this program's API sends them: `data` is JSON in one line. Throws if it is no such stream, or breaks off. */
export async function* messagesOf(stream: AsyncIterable<Buffer>): AsyncGenerator<Message> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  let fields: Partial<Record<string, string>> = {};
  for await (const chunk of stream) {
    const lines = (rest + decoder.write(chunk)).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > longestLine) throw new Error('a line of the stream is too long');
    for (const line of lines) {
      const [, name = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/.exec(line) ?? [];
      if (name !== '') fields[name] = value;
      if (line !== '') continue;
      const { id, event = 'message', data } = fields;
      fields = {};
      if (data !== undefined) yield { id, event, data: objectOf(data) };
    }
  }
}

function objectOf(text: string): Json {
  const value: unknown = JSON.parse(text);
  if (!isMapping(value)) throw new Error('a message of the stream is no object');
  return value;
}
