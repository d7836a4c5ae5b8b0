-- Protobuf's wire format, as far as rendering needs it.
local protobuf = {}

-- More bytes than any valid record has: pages of larger ones would not fit in an answer. As in validation.py.
protobuf.MAX_RECORD = 512 * 1024

local function varint(n)
  if n < 128 then return string.char(n) end
  if n < 16384 then return string.char(n % 128 + 128, math.floor(n / 128)) end
  local bytes = {}
  while n >= 128 do
    bytes[#bytes + 1] = string.char(n % 128 + 128)
    n = math.floor(n / 128)
  end
  bytes[#bytes + 1] = string.char(n)
  return table.concat(bytes)
end

protobuf.varint = varint

-- A length-delimited field with a number below 16.
function protobuf.field(number, bytes) return string.char(number * 8 + 2) .. varint(#bytes) .. bytes end

-- Where such a field ends that begins at `at`; nil if there is none, or only part of one.
function protobuf.field_end(number, bytes, at)
  if string.byte(bytes, at) ~= number * 8 + 2 then return nil end
  local size, scale = 0, 1
  repeat
    at = at + 1
    local byte = string.byte(bytes, at)
    if not byte or scale > 2 ^ 28 then return nil end
    size = size + byte % 128 * scale
    scale = scale * 128
  until byte < 128
  return at + size <= #bytes and at + size or nil
end

-- Whether bytes are exactly one such field.
function protobuf.is_field(number, bytes) return protobuf.field_end(number, bytes, 1) == #bytes end

return protobuf
