-- Requests of several listeners with their own tokens; every play is of another item.
-- Arguments: GET or POST, the file of tokens (one a line), the number of the first item.

local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

-- base64 of three digits, so that an item is put together instead of encoded
local digits = {}
for number = 0, 999 do
  local text = string.format("%03d", number)
  local bits = text:byte(1) * 65536 + text:byte(2) * 256 + text:byte(3)
  local encoded = ""
  for shift = 3, 0, -1 do
    local index = math.floor(bits / 64 ^ shift) % 64
    encoded = encoded .. alphabet:sub(index + 1, index + 1)
  end
  digits[number] = encoded
end

-- ",https://cdn.example.org/a/12345.mp3", and the feed https://example.org/rss
local enclosure = "LGh0dHBzOi8vY2RuLmV4YW1wbGUub3JnL2EvMTIzNDUubXAz"
local body = '{"rss_source_feed":"aHR0cHM6Ly9leGFtcGxlLm9yZy9yc3M=","rss_source_item":"%s%s%s%s",'
  .. '"position":%d,"played":false}'

local method, headers, turn, item

function init(arguments)
  method = arguments[1]
  headers = {}
  for token in io.lines(arguments[2]) do
    headers[#headers + 1] = { ["Authorization"] = "Bearer " .. token, ["Content-Type"] = "application/json" }
  end
  turn = 0
  item = tonumber(arguments[3])
end

function request()
  turn = turn + 1
  local who = headers[turn % #headers + 1]
  if method == "GET" then
    return wrk.format("GET", nil, who)
  end
  item = item + 1
  local high, low = math.floor(item / 1000), item % 1000
  return wrk.format("POST", nil, who, body:format(
    digits[math.floor(high / 1000) % 1000], digits[high % 1000], digits[low], enclosure, 600 + low))
end

function done(summary, latency, requests)
  local refused = summary.errors.status + summary.errors.connect + summary.errors.read
    + summary.errors.write + summary.errors.timeout
  io.write(string.format("RESULT %d %d %.1f %.1f %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), refused))
end
