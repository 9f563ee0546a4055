import type { AppRecord, AppUsage, Cmdb } from '../cmdb/cmdb.js';
import type { Clock } from '../model/clock.js';
import { measure } from './measure.js';
import type { Metrics } from './metrics.js';

/** A CMDB that times its operations into the metrics, except waiting for changes and iterating over a list. */
export function measuredCmdb(cmdb: Cmdb, metrics: Metrics, clock: Clock): Cmdb {
  const timed = <T>(operation: string, run: () => Promise<T>) =>
    measure(clock, run, (result, ms) => metrics.cmdb(operation, result, ms));
  return {
    apply: (change) => timed('apply', () => cmdb.apply(change)),
    edit: (app, change, options) => timed('edit', () => cmdb.edit(app, change, options)),
    find: (query) => timed('find', () => cmdb.find(query)),
    list: (which, after): AsyncIterable<AppRecord> => cmdb.list(which, after),
    update: (app, change, note) => timed('update', () => cmdb.update(app, change, note)),
    ledger: (query) => timed('ledger', () => cmdb.ledger(query)),
    usage: (query): AsyncIterable<AppUsage> => cmdb.usage(query),
    changes: (position, signal) => cmdb.changes(position, signal),
    due: (now, limit) => timed('due', () => cmdb.due(now, limit)),
    beat: (session, revoke) => timed('beat', () => cmdb.beat(session, revoke)),
    sealed: (name) => timed('sealed', () => cmdb.sealed(name)),
    changeSealed: (name, change) => timed('change_sealed', () => cmdb.changeSealed(name, change)),
    close: () => cmdb.close(),
  };
}
