import { Type, Compile } from '../model/schema/typebox.js';
import type { Session } from './cmdb.js';
import { format, problemOf } from './record-format.js';

const sessionRecord = Compile(
  Type.Object({
    v: Type.Literal(format),
    incarnation: Type.String({ minLength: 1 }),
    host: Type.String(),
    beats: Type.Integer({ minimum: 0 }),
    runtimes: Type.Optional(Type.Record(Type.String(), Type.Object({ id: Type.String(), place: Type.String() }))),
    process: Type.Object({ pid: Type.Integer(), startTime: Type.String(), bootId: Type.String() }),
  }),
);

/** The stored form of a session. */
export function encodeSession(session: Session): string {
  return JSON.stringify({ v: format, ...session });
}

/** Decodes the session stored under `incarnation`; throws an Error that says what is wrong with it. */
export function decodeSession(incarnation: string, text: string): Session {
  const record: unknown = JSON.parse(text);
  if (!sessionRecord.Check(record)) throw new Error(problemOf(sessionRecord.Errors(record), record));
  const { v: _format, ...session } = record;
  if (session.incarnation !== incarnation) throw new Error(`it belongs to ${session.incarnation}`);
  return session;
}
