-- Takes failed jobs away, each only if it still is the one that was looked at. ARGV: what the keys begin with; id and score of each.
-- A server that is full takes it, because it begins with a deletion. Answers how many went.
local base, gone = ARGV[1] .. ':', 0
for position = 2, #ARGV, 2 do
  local id, score = ARGV[position], ARGV[position + 1]
  local parent = redis.call('HGET', base .. id, 'parentKey')
  local is_awaited = parent and redis.call('SISMEMBER', parent .. ':dependencies', base .. id) == 1
  if redis.call('ZSCORE', base .. 'failed', id) == score and not is_awaited then
    local once = redis.call('HGET', base .. id, 'deid')
    if once and redis.call('GET', base .. 'de:' .. once) == id then
      redis.call('UNLINK', base .. 'de:' .. once, base .. 'dn:' .. once)
    end
    local job = base .. id
    redis.call('UNLINK', job, job .. ':logs', job .. ':dependencies', job .. ':processed', job .. ':failed', job .. ':unsuccessful')
    redis.call('ZREM', base .. 'failed', id)
    gone = gone + 1
  end
end
if gone > 0 then redis.call('XADD', base .. 'events', 'MAXLEN', '~', 10000, '*', 'event', 'cleaned', 'count', gone) end
return gone
