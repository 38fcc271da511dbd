-- Pauses. ARGV: layout; the documents for which, by line. Answers how many jobs are still to be moved: then it is called again.
-- A server that is full takes it, because it begins with a deletion.
local layout, reasons = ARGV[1], ARGV[2]
redis.call('DEL', marker)
local is_new = redis.call('HSETNX', meta, 'paused', 1) == 1
if is_new then
  redis.call('HDEL', meta, 'reconciler:was-paused')
  redis.call('HSET', meta, 'reconciler:since', now_ms())
elseif redis.call('HEXISTS', meta, 'reconciler:since') == 0 then
  -- Somebody else paused it: that stays so when our reasons go.
  redis.call('HSET', meta, 'reconciler:was-paused', 1, 'reconciler:since', now_ms())
end
redis.call('HSET', meta, 'reconciler:paused-for', reasons)
local left = 0
if layout == 'legacy' and redis.call('EXISTS', wait) == 1 then
  if redis.call('EXISTS', paused) == 0 then
    redis.call('RENAME', wait, paused)
  else
    -- It was paused as version 6 does, or by hand: what is in `wait` is older than what came since.
    left = behind(wait, paused)
  end
end
if is_new then redis.call('XADD', events, 'MAXLEN', '~', 10000, '*', 'event', 'paused') end
return left
