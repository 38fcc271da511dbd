-- Forgets why we paused, and leaves the queue as it is.
return redis.call('HDEL', meta, 'reconciler:paused-for', 'reconciler:since', 'reconciler:was-paused') * 0
