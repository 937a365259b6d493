-- Requests of several clients by turns. Arguments: the method; a file with a line for each client, its path
-- and headers, separated by tabs; the body ("" for none), in which <number>, <item> and <position> are those
-- of a play of an episode that nobody has played before; the number of the first of these.

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

-- ",https://cdn.example.org/a/12345.mp3"
local enclosure = "LGh0dHBzOi8vY2RuLmV4YW1wbGUub3JnL2EvMTIzNDUubXAz"
local method, body, clients, turn, number

function init(arguments)
  method, body, turn, number = arguments[1], arguments[3], 0, tonumber(arguments[4])
  clients = {}
  for line in io.lines(arguments[2]) do
    local path, headers = line:match("^([^\t]*)\t?(.*)$"), {}
    for name, value in line:gmatch("\t([^:\t]+): ([^\t]*)") do headers[name] = value end
    clients[#clients + 1] = { path = path, headers = headers, ready = wrk.format(method, path, headers) }
  end
end

local function values()
  number = number + 1
  local high, low = math.floor(number / 1000), number % 1000
  return {
    number = string.format("%09d", number),
    item = digits[math.floor(high / 1000) % 1000] .. digits[high % 1000] .. digits[low] .. enclosure,
    position = tostring(600 + low),
  }
end

function request()
  turn = turn % #clients + 1
  local client = clients[turn]
  if body == "" then return client.ready end
  return wrk.format(method, client.path, client.headers, (body:gsub("<(%l+)>", values())))
end

function done(summary, latency, requests)
  local errors = summary.errors
  local lost = errors.connect + errors.write + errors.timeout
  io.write(string.format("RESULT %d %d %.1f %.1f %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), errors.status, lost, errors.read))
end
