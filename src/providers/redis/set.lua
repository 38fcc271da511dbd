-- Gives a key a value, or takes it away where there is none, and notes when. KEYS: the key, its note. ARGV: the value.
-- A server that is full takes it, because it begins with a deletion.
redis.call('DEL', KEYS[1])
if ARGV[1] then redis.call('SET', KEYS[1], ARGV[1]) end
local time = redis.call('TIME')
redis.call('SET', KEYS[2], time[1] * 1000 + math.floor(time[2] / 1000))
return 0
