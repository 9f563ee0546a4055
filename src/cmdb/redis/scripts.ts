import type { RedisClient } from './connect.js';

interface Script {
  readonly numberOfKeys?: number;
  readonly lua: string;
}

const scripts = {
  /**
   * A transaction; see commit.ts for its arguments. KEYS: names, schedule, change log, ledger, users, then documents, ledgers of apps and
   * rows of usage. Compares the documents with what was read, and writes everything or nothing → 1 if written, 0 if something changed.
   * A row that cannot be read begins anew: it must not keep an instance from being removed.
   */
  fcCommit: {
    lua: `local at = 1
local function take()
  at = at + 1
  return ARGV[at - 1]
end
local function use(name, key, day, oldest, seconds, labels, isOver)
  local stored = redis.pcall('GET', key)
  local ok, row = pcall(cjson.decode, type(stored) == 'string' and stored or '')
  if not ok or type(row) ~= 'table' or type(row.counts) ~= 'table' then row = { counts = {} } end
  if isOver ~= '1' or type(row.labels) ~= 'string' then row.labels = labels end
  for _ = 1, tonumber(take()) do
    local counter, amount = take(), tonumber(take())
    row.counts[counter] = (tonumber(row.counts[counter]) or 0) + amount
  end
  redis.call('SET', key, cjson.encode(row), 'EX', seconds)
  if tonumber(redis.call('ZSCORE', KEYS[5], name) or 0) < day then redis.call('ZADD', KEYS[5], day, name) end
  local past = redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', '(' .. oldest, 'LIMIT', 0, 100)
  if #past > 0 then redis.call('ZREM', KEYS[5], unpack(past)) end
end
local writes = {}
for i = 6, #KEYS do
  local seen = take()
  if seen ~= '' then
    local value = redis.call('GET', KEYS[i])
    if (value and redis.sha1hex(value) or '-') ~= seen then return 0 end
  end
  local kind = take()
  if kind ~= '' then writes[#writes + 1] = { kind, KEYS[i], kind == 'set' and take() } end
end
for _, write in ipairs(writes) do
  if write[1] == 'set' then redis.call('SET', write[2], write[3]) else redis.call('DEL', write[2]) end
end
while at <= #ARGV do
  local kind, name = take(), take()
  if kind == 'named' then redis.call('SADD', KEYS[1], name)
  elseif kind == 'unnamed' then redis.call('SREM', KEYS[1], name)
  elseif kind == 'used' then use(name, KEYS[tonumber(take())], tonumber(take()), take(), take(), take(), take())
  elseif kind == 'unscheduled' then redis.call('ZREM', KEYS[2], name)
  elseif kind == 'scheduled' then redis.call('ZADD', KEYS[2], take(), name)
  elseif kind == 'scheduled by' then
    redis.call('ZADD', KEYS[2], math.min(tonumber(take()), tonumber(redis.call('ZSCORE', KEYS[2], name) or 0)), name)
  elseif kind == 'entered' then
    local text, most, mostOfApp = take(), take(), take()
    local id = redis.call('XADD', KEYS[4], 'MAXLEN', '~', most, '*', 'entry', text)
    local own = KEYS[tonumber(name)]
    if own and type(redis.pcall('XADD', own, 'MAXLEN', mostOfApp, id, 'entry', text)) == 'table' then
      redis.call('DEL', own)
      redis.call('XADD', own, id, 'entry', text)
    end
  else
    local fields = { 'app', name }
    for _ = 1, tonumber(take()) do fields[#fields + 1] = take() end
    redis.call('XADD', KEYS[3], 'MAXLEN', '~', kind, '*', unpack(fields))
  end
end
return 1`,
  },
  /** schedule; now, when to be due again, limit → names of the apps that are due, each handed to one caller. */
  fcDue: {
    numberOfKeys: 1,
    lua: `local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, name in ipairs(due) do redis.call('ZADD', KEYS[1], ARGV[2], name) end
return due`,
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

/** Teaches a client the scripts; it sends their hashes, and their text only if the server does not know them. */
export function withScripts<C extends RedisClient>(client: C): C & ScriptCommands {
  for (const [name, script] of Object.entries(scripts)) client.defineCommand(name, script);
  return client as C & ScriptCommands;
}
