-- One window per key: counts this request and answers how many milliseconds to wait, 0 when it is let in.
-- Counting and expiry in one step, so 200 requests at once cannot pass a limit of 30.
local count = redis.call('INCR', KEYS[1])
if count == 1 then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
if count <= tonumber(ARGV[1]) then
    return 0
end
return math.max(redis.call('PTTL', KEYS[1]), 1)
