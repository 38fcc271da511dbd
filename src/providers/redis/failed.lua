-- Failed jobs that may go: from before a moment, and no job waits for them. Reads only.
-- ARGV: what the keys begin with, the moment in ms, how many jobs were passed over before, how many bytes are enough.
-- Answers how many were passed over now, and id, score and fields of each job.
local base, before, offset, enough = ARGV[1] .. ':', ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local passed, bytes, jobs = 0, 0, {}
local found = redis.call('ZRANGEBYSCORE', base .. 'failed', '-inf', '(' .. before, 'WITHSCORES', 'LIMIT', offset, 1000)
for position = 1, #found, 2 do
  local id, score = found[position], found[position + 1]
  local parent = redis.call('HGET', base .. id, 'parentKey')
  if parent and redis.call('SISMEMBER', parent .. ':dependencies', base .. id) == 1 then
    passed = passed + 1
  else
    local fields = redis.call('HGETALL', base .. id)
    for _, field in ipairs(fields) do bytes = bytes + #field end
    jobs[#jobs + 1] = { id, score, fields }
    if bytes > enough then break end
  end
end
return { passed, jobs }
