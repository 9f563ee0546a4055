import type { RedisClient } from './connect.js';

interface Script {
  readonly numberOfKeys: number;
  readonly lua: string;
}

/** Each touches the keys of one slot only, and can be run twice with the same outcome. */
const scripts = {
  /** deployment; expected version, new version, record → 1 written, 0 another version stands. */
  fcSwap: {
    numberOfKeys: 1,
    lua: `local version = redis.call('HGET', KEYS[1], 'version') or ''
if version == ARGV[2] then return 1 end
if version ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'record', ARGV[3])
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
  /** domain; wanted owner, owner that has lost it ('' none) → the owner that stands. */
  fcClaim: {
    numberOfKeys: 1,
    lua: `local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[2] then return owner end
redis.call('SET', KEYS[1], ARGV[1])
return ARGV[1]`,
  },
  /** domain; owner → gives it up where it is still that owner's. */
  fcUnclaim: {
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
