-- Stands before every script that changes a queue: nothing is written where a key is not what BullMQ makes of it.
local names = { 'meta', 'marker', 'wait', 'paused', 'prioritized', 'delayed', 'events' }
local kinds = { 'hash', 'zset', 'list', 'list', 'zset', 'zset', 'stream' }
local meta, marker, wait, paused, prioritized, delayed, events = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7]
for position, kind in ipairs(kinds) do
  local found = redis.call('TYPE', KEYS[position]).ok
  if found ~= 'none' and found ~= kind then
    return redis.error_reply('WRONGKIND ' .. KEYS[position] .. ' is a ' .. found .. ', and BullMQ keeps a ' .. kind .. ' as ' .. names[position])
  end
end
if redis.call('EXISTS', meta) == 0 and redis.call('EXISTS', wait) == 0 and redis.call('EXISTS', events) == 0 then
  return redis.error_reply('NOQUEUE nobody has made the queue ' .. meta)
end

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Workers that sleep look again when there is a marker; one too many is harmless.
local function wake()
  if redis.call('LLEN', wait) + redis.call('ZCARD', prioritized) > 0 then
    redis.call('ZADD', marker, 0, '0')
  else
    local next = redis.call('ZRANGE', delayed, 0, 0, 'WITHSCORES')
    if next[2] then redis.call('ZADD', marker, math.floor(next[2] / 4096), '1') end
  end
end

-- So many jobs move in one call: it stays short, and the next call goes on.
local PIECE, PIECES = 5000, 10
-- Moves the newest jobs of a list to the other's old end, in their order; answers how many are left.
local function behind(from, to)
  for _ = 1, PIECES do
    local ids = redis.call('LRANGE', from, 0, PIECE - 1)
    if #ids == 0 then return 0 end
    redis.call('RPUSH', to, unpack(ids))
    redis.call('LTRIM', from, #ids, -1)
  end
  return redis.call('LLEN', from)
end
