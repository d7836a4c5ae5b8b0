-- Filters the headers that pass to a worker. An error here would let everything pass.

-- Names and values: 60 KiB of the client's own, plus what Envoy adds.
local MAX_BYTES = 60 * 1024 + 256
-- Likewise: 100 of the client's own.
local MAX_COUNT = 110

local KEEP, DROP, METHOD, PATH, BASE64, TIMEOUT, ENCODING = 1, 2, 3, 4, 5, 6, 7

-- Rules for names that mean something to a worker's gRPC library, or come with most calls.
local RULES = {
  [":method"] = METHOD, [":path"] = PATH,
  ["grpc-timeout"] = TIMEOUT, ["grpc-encoding"] = ENCODING, ["grpc-accept-encoding"] = KEEP,
  ["grpc-trace-bin"] = BASE64, ["grpc-tags-bin"] = BASE64,
  ["lb-token"] = DROP, ["lb-cost-bin"] = DROP, ["endpoint-load-metrics-bin"] = DROP, grpclb_client_stats = DROP,
}
for name in (":scheme :authority accept accept-encoding authorization content-length content-type origin te user-agent "
  .. "x-envoy-external-address x-forwarded-for x-forwarded-proto x-request-id"):gmatch("%S+") do
  RULES[name] = KEEP
end
local ENCODINGS = { identity = true, deflate = true, gzip = true }

-- The rule for any other name. https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
local function rule_of(name)
  if name:find("[^a-z0-9_.-]") or name:find("^grpc%-") or name:find("^x%-envoy%-") then return DROP end
  return name:find("-bin", -4, true) and BASE64 or KEEP
end

-- As gRPC reads it: with or without padding, and no unused bits set.
local function is_base64(value)
  local digits, padding = value:match("^([A-Za-z0-9+/]*)(=?=?)$")
  if digits == nil or padding ~= "" and #value % 4 ~= 0 then return false end
  local left_over = #digits % 4
  return left_over == 0
    or left_over == 2 and digits:find("[AQgw]$") ~= nil
    or left_over == 3 and digits:find("[AEIMQUYcgkosw048]$") ~= nil
end

local function is_timeout(value)
  return #value <= 9 and value:find("^%d+[HMSmun]$") ~= nil
end

local function refuse(handle, status, text)
  handle:respond({ [":status"] = status }, text)
end

-- What is wrong with a header of a gRPC call, or nil.
local function fault(rule, value)
  if rule == BASE64 and not is_base64(value) then return "a header that ends in -bin is not base64" end
  if rule == TIMEOUT and not is_timeout(value) then return "grpc-timeout is malformed" end
  if rule == ENCODING and not ENCODINGS[value] then return "grpc-encoding is unknown" end
end

-- Each step of this loop costs 0.7 us, so there is one loop only, with few look-ups.
function envoy_on_request(handle)
  local headers = handle:headers()
  local content_type = headers:get("content-type")
  local grpc = content_type ~= nil and content_type:find("application/grpc", 1, true) == 1
  local count, bytes = 0, 0
  local method, path, dropped
  for name, value in pairs(headers) do
    count, bytes = count + 1, bytes + #name + #value
    local rule = RULES[name] or rule_of(name)
    if rule == METHOD then
      method = value
    elseif rule == PATH then
      path = value
    elseif rule ~= KEEP and grpc then
      local text = fault(rule, value)
      if text ~= nil then return refuse(handle, "400", text) end
      if rule == DROP then
        dropped = dropped or {}
        dropped[#dropped + 1] = name
      end
    end
  end
  if method == "CONNECT" then return refuse(handle, "501", "") end
  if count > MAX_COUNT or bytes > MAX_BYTES then return refuse(handle, "431", "") end
  if grpc then
    -- gRPC-Web has been converted by now. A type that only looks similar would get an answer its client cannot read.
    if content_type ~= "application/grpc" and not content_type:find("^application/grpc%+[%w.+-]+$") then
      return refuse(handle, "415", "")
    end
    -- A REST path has one segment, and its route is not for gRPC. A worker's gRPC library reads paths as text.
    if not path:find("/", 2, true) or path:find("[^!-~]") then return refuse(handle, "404", "") end
  end
  if dropped ~= nil then
    for _, name in ipairs(dropped) do headers:remove(name) end
  end

  -- The transcoder would bind query parameters to fields, but a request is its body alone.
  if grpc or method ~= "POST" then return end
  local query = path:find("?", 1, true)
  if query ~= nil then headers:replace(":path", path:sub(1, query - 1)) end
end
