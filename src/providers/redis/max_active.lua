-- Lets at most so many jobs run at once. ARGV: how many. A server that is full takes it, because it begins with a deletion.
redis.call('HDEL', meta, 'concurrency')
redis.call('HSET', meta, 'concurrency', ARGV[1])
if redis.call('HEXISTS', meta, 'paused') == 0 then wake() end
return 0
