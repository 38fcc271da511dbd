-- Lets a queue go on. ARGV: layout. Answers how many jobs are still to be moved: then it is called again.
-- A server that is full takes it, because it begins with a deletion.
local layout = ARGV[1]
redis.call('HDEL', meta, 'reconciler:was-paused')
if redis.call('EXISTS', paused) == 1 then
  if redis.call('EXISTS', wait) == 0 then
    redis.call('RENAME', paused, wait)
  elseif layout == 'legacy' and redis.call('HEXISTS', meta, 'paused') == 1 then
    -- It was paused as version 6 does, or by hand: what is in `wait` is older than what came since.
    if behind(wait, paused) > 0 then return 1 end
    redis.call('RENAME', paused, wait)
  elseif behind(paused, wait) > 0 then
    return 1
  end
end
local was = redis.call('HDEL', meta, 'paused')
redis.call('HDEL', meta, 'reconciler:paused-for', 'reconciler:since')
wake()
if was == 1 then redis.call('XADD', events, 'MAXLEN', '~', 10000, '*', 'event', 'resumed') end
return 0
