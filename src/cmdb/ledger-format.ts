import { Compile, Type } from '../model/schema/typebox.js';
import { type Entry, type LedgerEvent, longestEntry } from '../model/ledger/event.js';
import { factKinds } from '../model/ledger/facts.js';

const text = Type.String();
const optional = Type.Optional(text);

const entryShape = Compile(
  Type.Object({
    app: text,
    kind: Type.Union(factKinds.map((kind) => Type.Literal(kind))),
    ...{ cause: optional, instance: optional, host: optional, node: optional, revision: optional },
    bootMs: Type.Optional(Type.Number()),
    readyAt: Type.Optional(Type.Number()),
    replaces: optional,
    request: Type.Optional(Type.Object({ host: text, method: text, path: text, agent: text, client: optional })),
    ...{ by: optional, message: optional, output: optional },
    labels: Type.Optional(Type.Record(text, text)),
  }),
);

/** An event of a stored entry; undefined if a newer version or a stranger wrote it. */
export function eventOf(id: string, entry: string): LedgerEvent | undefined {
  if (entry.length > longestEntry) return undefined;
  try {
    const value: unknown = JSON.parse(entry);
    return entryShape.Check(value) ? { id, at: Number(id.split('-')[0]), ...(value as Entry) } : undefined;
  } catch {
    return undefined;
  }
}

/** Throws a RangeError if no store could have given this id. */
export function checkPlace(id: string): void {
  if (!/^\d{1,15}-\d{1,15}$/.test(id)) throw new RangeError('it is no id of an event');
}
