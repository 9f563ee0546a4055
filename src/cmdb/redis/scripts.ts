import type { RedisClient } from './connect.js';

interface Script {
  readonly numberOfKeys: number;
  readonly lua: string;
}

/** Each touches the keys of one slot only, and can be run twice with the same outcome. */
const scripts = {
  /**
   * deployment, app; expected version, new version, record, expected app record ('' none), app record to write ('' none)
   * → 1 written, 0 something changed.
   */
  fcSwap: {
    numberOfKeys: 2,
    lua: `local version = redis.call('HGET', KEYS[1], 'version') or ''
if version == ARGV[2] then return 1 end
if version ~= ARGV[1] or (redis.call('GET', KEYS[2]) or '') ~= ARGV[4] then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'record', ARGV[3])
if ARGV[5] ~= '' then redis.call('SET', KEYS[2], ARGV[5]) end
return 1`,
  },
  /** deployment, app; expected version, expected app record → 1 gone, 0 something changed. */
  fcDrop: {
    numberOfKeys: 2,
    lua: `local version = redis.call('HGET', KEYS[1], 'version') or ''
local app = redis.call('GET', KEYS[2]) or ''
if app == '' and version == '' then return 1 end
if version ~= ARGV[1] or app ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
return 1`,
  },
  /** app or domain; expected value ('' none), new value → the value that stands. */
  fcReplace: {
    numberOfKeys: 1,
    lua: `local value = redis.call('GET', KEYS[1]) or ''
if value ~= ARGV[1] then return value end
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2]`,
  },
  /** domain; claim → gives it up where it is still that very claim. */
  fcRelease: {
    numberOfKeys: 1,
    lua: `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`,
  },
  /** schedule; app, score seen, new score → 1 where this caller has it. */
  fcTake: {
    numberOfKeys: 1,
    lua: `if redis.call('ZSCORE', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
return 1`,
  },
  /** schedule; app → removed where it is still scheduled at the score seen. */
  fcUnschedule: {
    numberOfKeys: 1,
    lua: `if redis.call('ZSCORE', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('ZREM', KEYS[1], ARGV[1])`,
  },
  /** sessions; incarnation, record, '1' for the first beat, revoked … → { revoked, all }. */
  fcBeat: {
    numberOfKeys: 1,
    lua: `local revoked = 0
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 and ARGV[3] ~= '1' then revoked = 1
else redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) end
for i = 4, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
return { revoked, redis.call('HGETALL', KEYS[1]) }`,
  },
} as const satisfies Record<string, Script>;

type ScriptCommands = Record<keyof typeof scripts, (...args: (string | number)[]) => Promise<unknown>>;

/** Teaches a client the scripts; it sends their hashes and their text only where the server does not know them. */
export function withScripts<C extends RedisClient>(client: C): C & ScriptCommands {
  for (const [name, script] of Object.entries(scripts)) client.defineCommand(name, script);
  return client as C & ScriptCommands;
}
