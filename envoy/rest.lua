-- What the transcoder does not do. Requests: it drops unknown fields and rounds large integers, so both are reported to
-- the worker.
-- Responses: the route's success status, no leftover gRPC headers, and no error without details.

-- Free-form data with more brackets and strings is too large for a worker.
local MAX_MARKS = 50000
local UNKNOWN_FIELD = "x-conversations-unknown-field"
local ROUNDED_NUMBER = "x-conversations-rounded-number"
local MAX_SAFE_INTEGER = "9007199254740991"
local SIXTEEN_DIGITS = ("%d"):rep(#MAX_SAFE_INTEGER)

-- The end of the string whose opening quote is at a place, or nil.
local function string_end(text, at)
  local stop = text:sub(at, at) == "'" and "[\\']" or '[\\"]'
  at = at + 1
  while true do
    local found = text:find(stop, at)
    if found == nil then return nil end
    if text:sub(found, found) ~= "\\" then return found end
    at = found + 2
  end
end

-- The place of the comma after a value, or nil if there is none.
local function value_end(text, at)
  local depth = 0
  for _ = 1, MAX_MARKS do
    local found = text:find(depth > 0 and "[%[%]{}\"']" or "[%[%]{}\"',]", at)
    if found == nil then return nil end
    local mark = text:sub(found, found)
    if mark == "," then return found end
    if mark == "[" or mark == "{" then
      depth = depth + 1
    elseif mark == "]" or mark == "}" then
      depth = depth - 1
      if depth < 0 then return nil end
    else
      found = string_end(text, found)
      if found == nil then return nil end
    end
    at = found + 1
  end
end

-- The first integer in free-form data between two places that would be rounded, or nil.
local function rounded_number(text, at, stop)
  local long = text:find(SIXTEEN_DIGITS, at)
  if long == nil or long > stop then return nil end
  for _ = 1, MAX_MARKS do
    local found = text:find("[%w\"'-]", at)
    if found == nil or found > stop then return nil end
    local word = text:match("^[%w_$.+-]+", found)
    if word ~= nil then
      local digits = word:match("^-?(%d+)%.?%d*$")
      if digits and (#digits > #MAX_SAFE_INTEGER or #digits == #MAX_SAFE_INTEGER and digits > MAX_SAFE_INTEGER) then
        return word
      end
      at = found + #word
    else
      local last = string_end(text, found)
      if last == nil then return nil end
      at = last + 1
    end
  end
end

local function character(code) return string.char(tonumber(code, 16)) end

-- What is wrong with an object: `{ unknown = name }` for the first unknown key, as written, or
-- `{ field = name, rounded = number }`; otherwise where a numeric cursor begins and ends. `names` says of each field
-- whether it is free-form. Unquoted and single-quoted keys are read as by the transcoder, which refuses what is not JSON.
local function read_keys(text, names)
  local at, first, last = text:match("^%s*{()"), nil, nil
  local rounded
  while at ~= nil do
    local start = text:match("^[%s,]*()", at)
    local stop = text:find("^[\"']", start) and string_end(text, start)
    local name
    if stop then
      name = text:sub(start + 1, stop - 1)
    else
      name, stop = text:match("^([%w_$]+)()", start)
      stop = stop and stop - 1
    end
    if name == nil then break end
    local is_free = names[name]
    if is_free == nil then is_free = names[name:gsub("\\u00([0-7]%x)", character)] end
    if is_free == nil then return { unknown = name } end
    local value = text:match("^%s*:()", stop + 1)
    if name == "cursor" and value then
      first, last = text:match("^%s*()%d+()%s*[,}]", value)
    end
    at = value and value_end(text, value)
    if is_free and value and not rounded then
      local number = rounded_number(text, value, at or #text)
      rounded = number and { field = name, rounded = number }
    end
  end
  return rounded, first, last
end

-- Escaped for a header.
local function quoted(name)
  return (name:sub(1, 100):gsub("[^%w_.-]", function(byte) return ("%%%02X"):format(byte:byte()) end))
end

function envoy_on_request(handle)
  local names = handle:metadata():get("fields")
  if names == nil then return end
  local body = handle:body()
  if body == nil then return end
  local text = body:getBytes(0, body:length())
  local wrong, first, last = read_keys(text, names)
  if wrong and wrong.unknown then
    handle:headers():replace(UNKNOWN_FIELD, quoted(wrong.unknown))
  elseif wrong then
    handle:headers():replace(ROUNDED_NUMBER, quoted(wrong.field) .. " " .. quoted(wrong.rounded))
  elseif first ~= nil then
    -- Old clients send an offset as a number, but the field is text.
    body:setBytes(text:sub(1, first - 1) .. '"' .. text:sub(first, last - 1) .. '"' .. text:sub(last))
  end
end

-- A single message, and a stream.
local ANSWER_TYPES = { ["application/json"] = true, ["text/event-stream"] = true }
local GRPC_HEADERS = { "grpc-status", "grpc-message", "grpc-accept-encoding" }

-- Errors of the gRPC library, for calls that the service has not seen, have no details: a message above the server's --
-- limit, a call past its deadline, a stopping server. By the transcoder's HTTP status: code, reason, message.
local UNEXPLAINED = {
  ["429"] = { 8, "REQUEST_TOO_LARGE", "the request is too large" },
  ["503"] = { 14, "NO_SERVER", "no server can take the call now; try again" },
  ["504"] = { 4, "OUT_OF_TIME", "the call ran out of time" },
}
local NO_DETAILS = '"details":%[%]}%s*$'
local TOO_LARGE = '"reason":"REQUEST_TOO_LARGE"'
local DELAY = '"@type":"type.googleapis.com/google.rpc.RetryInfo","retry_delay":"([%d.]+)s"'
local ERROR = '{"code":%d,"message":"%s","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo",'
  .. '"reason":"%s","domain":"conversations.v1","metadata":{}}%s]}'
local RETRY = ',{"@type":"type.googleapis.com/google.rpc.RetryInfo","retry_delay":"1s"}'

-- The transcoder's name for the type of free-form data.
local FREE_TYPE = "type%.googleapis%.com/google%.protobuf%.Struct"

-- The transcoder names the field with a wrong type only in its text: `page_size: invalid value "many" for type
-- TYPE_INT32`.
local WRONG_TYPE = '"message":"([%w_.%[%]]+): (invalid value .*)'
local VIOLATION = '{"@type":"type.googleapis.com/google.rpc.BadRequest","field_violations":'
  .. '[{"field":"%s","description":"%s"}]}'

-- It does not list the values of an enum: `state: invalid value "DONE" for type type.googleapis.com/...`.
local OF_ENUM = ' for type type%.googleapis%.com/([%w_.]+)"'
local CHOICES = { ["conversations.v1.ConversationMetadata.State"] = "has to be OPEN or CLOSED" }

-- The part of a text before the end of the JSON string that it starts in.
local function to_end_of_string(text)
  local at = 1
  while true do
    local stop = text:find('[\\"]', at)
    if stop == nil or text:sub(stop, stop) == '"' then return text:sub(1, (stop or 0) - 1) end
    at = stop + 2
  end
end

-- For an object or a list in place of a scalar, it names the field last or not at all: `: invalid value Starting an
-- object on a scalar field for type state`, `: Proto field is not repeating, ...`.
local NO_FIELD = '"message":": '
local AN_OBJECT = '"invalid value Starting an object on a scalar field for type ([%w_]+)"'
local A_LIST = '"Proto field is not repeating, cannot start list."'

local function name_field(handle)
  local body = handle:body(true)
  local text, bare = body:getBytes(0, body:length()):gsub(NO_FIELD, '"message":"')
  text = text:gsub(AN_OBJECT, '"%1: invalid value of type object"'):gsub(A_LIST, '"a list where a single value is expected"')
  text = text:gsub(OF_ENUM, function(enum)
    local choices = CHOICES[enum]
    return choices and ": " .. choices .. '"'
  end)
  local field, description = text:match(WRONG_TYPE)
  if field == nil or text:find("BadRequest", 1, true) then
    if bare > 0 then body:setBytes(text) end
    return
  end
  text, description = text:gsub(FREE_TYPE, "object"), description:gsub(FREE_TYPE, "object")
  local violation = VIOLATION:format(field, to_end_of_string(description))
  body:setBytes((text:gsub('("details":%[{.-"reason":"MALFORMED_REQUEST".-})%]', function(details)
    return details .. "," .. violation .. "]"
  end)))
end

local function explain(handle, status)
  if status == "400" then return name_field(handle) end
  local error = UNEXPLAINED[status]
  if error == nil then return end
  local delay = handle:headers():get("retry-after")
  local body = handle:body(true)
  local text = body:getBytes(0, body:length())
  -- RESOURCE_EXHAUSTED means size or rate; with a retry delay it is a rate limit.
  if status == "429" and (text:find(TOO_LARGE, 1, true) or text:find(NO_DETAILS) and delay == nil) then
    handle:headers():replace(":status", "413")
  end
  if text:find(NO_DETAILS) and delay == nil then
    local code, reason, message = error[1], error[2], error[3]
    text = ERROR:format(code, message, reason, code == 14 and RETRY or "")
    body:setBytes(text)
  end
  local seconds = text:match(DELAY)
  if seconds ~= nil then handle:headers():replace("retry-after", tostring(math.ceil(tonumber(seconds)))) end
end

function envoy_on_response(handle)
  local headers = handle:headers()
  if not ANSWER_TYPES[headers:get("content-type")] then return end
  for _, name in ipairs(GRPC_HEADERS) do headers:remove(name) end

  local status = headers:get(":status")
  if status ~= "200" then
    headers:remove("grpc-status-details-bin")
    return explain(handle, status)
  end
  local success_status = handle:metadata():get("success_status")
  if success_status == nil or success_status == "200" then return end
  headers:replace(":status", success_status)
  if success_status ~= "204" then return end

  -- The transcoder's `{}` after a 204 would be read as the start of the next response. Reading the body invalidates the
  -- -- headers fetched before.
  headers:remove("content-type")
  local body = handle:body(true)
  if body ~= nil then body:setBytes("") end
  local trailers = handle:trailers()
  if trailers ~= nil then
    trailers:remove("grpc-status")
    trailers:remove("grpc-message")
  end
  handle:headers():remove("content-length")
end
