-- What one queue shows. KEYS: meta. ARGV: what its keys begin with; the moment in ms before which failed jobs are to go, or ''.
local base, before = ARGV[1] .. ':', ARGV[2]
local kinds = {
  { 'meta', 'hash' }, { 'wait', 'list' }, { 'paused', 'list' }, { 'active', 'list' }, { 'prioritized', 'zset' },
  { 'delayed', 'zset' }, { 'failed', 'zset' }, { 'marker', 'zset' }, { 'events', 'stream' },
}
local exists, has_events = 0, false
for _, kind in ipairs(kinds) do
  local found = redis.call('TYPE', base .. kind[1]).ok
  if found ~= 'none' then
    if found ~= kind[2] then
      return redis.error_reply('WRONGKIND ' .. base .. kind[1] .. ' is a ' .. found .. ', and BullMQ keeps a ' .. kind[2] .. ' there')
    end
    exists = 1
    has_events = has_events or kind[1] == 'events'
  end
end

local out = {}
local function tell(name, value)
  out[#out + 1] = name
  out[#out + 1] = value
end

-- Versions 3 and 4 put markers that are no jobs at either end of the list.
local function is_marker(id) return id and string.sub(id, 1, 2) == '0:' end
local function jobs(list)
  local count = redis.call('LLEN', base .. list)
  if is_marker(redis.call('LINDEX', base .. list, 0)) then count = count - 1 end
  if count > 0 and is_marker(redis.call('LINDEX', base .. list, -1)) then count = count - 1 end
  return count
end
local oldest
local function older(id)
  local at = id and tonumber(redis.call('HGET', base .. id, 'timestamp') or nil)
  if at and (not oldest or at < oldest) then oldest = at end
end
local function tail(list)
  local id = redis.call('LINDEX', base .. list, -1)
  if is_marker(id) then id = redis.call('LINDEX', base .. list, -2) end
  older(id)
end

local meta = redis.call('HGETALL', base .. 'meta')
tell('exists', exists)
tell('bull', (redis.call('EXISTS', base .. 'meta-paused') == 1
  or exists == 1 and not has_events and redis.call('HEXISTS', base .. 'meta', 'opts.maxLenEvents') == 0) and 1 or 0)
tell('meta', meta)
tell('wait', jobs('wait'))
tell('paused', jobs('paused'))
tell('prioritized', redis.call('ZCARD', base .. 'prioritized'))
tell('active', redis.call('LLEN', base .. 'active'))
tell('delayed', redis.call('ZCARD', base .. 'delayed'))
tell('failed', redis.call('ZCARD', base .. 'failed'))
tail('wait')
tail('paused')
older(redis.call('ZRANGE', base .. 'prioritized', 0, 0)[1])
tell('oldest', oldest or 0)

local running, unheld = {}, 0
for position, id in ipairs(redis.call('LRANGE', base .. 'active', 0, 999)) do
  if redis.call('EXISTS', base .. id .. ':lock') == 0 then unheld = unheld + 1 end
  if position <= 5 then
    running[#running + 1] = string.sub((redis.call('HGET', base .. id, 'name') or '?') .. ' ' .. id, 1, 60)
  end
end
tell('running', running)
tell('unheld', unheld)

local reasons = {}
for _, id in ipairs(redis.call('ZREVRANGE', base .. 'failed', 0, 99)) do
  reasons[#reasons + 1] = string.sub(redis.call('HGET', base .. id, 'failedReason') or '', 1, 200)
end
tell('reasons', reasons)
tell('oldest_failed', redis.call('ZRANGE', base .. 'failed', 0, 0, 'WITHSCORES')[2] or '0')

if before ~= '' then
  local limit = '(' .. before
  local clearable = 0
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', base .. 'failed', '-inf', limit, 'LIMIT', 0, 1000)) do
    local parent = redis.call('HGET', base .. id, 'parentKey')
    if not parent or redis.call('SISMEMBER', parent .. ':dependencies', base .. id) == 0 then
      clearable = 1
      break
    end
  end
  tell('failed_before', redis.call('ZCOUNT', base .. 'failed', '-inf', limit))
  tell('clearable', clearable)
end
return out
