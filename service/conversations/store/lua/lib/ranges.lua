-- Words between two bounds, by code point, which is by byte in UTF-8. Lua's own `<` goes by the locale.

local utf8 = require("utf8")

local ranges = {}

-- How the word at a place compares with a bound, given as its bytes: below, above or at 0. Nothing else is a 10 or a 32
-- than the separator behind a word.
local function compare(text, at, bound)
  local byte = string.byte
  for i = 1, #bound do
    local b = byte(text, at + i - 1)
    if b == nil or b == 10 or b == 32 then return -1 end
    if b ~= bound[i] then return b - bound[i] end
  end
  local b = byte(text, at + #bound)
  return (b == nil or b == 10 or b == 32) and 0 or 1
end

local function is_inside(range, text, at)
  if range.low then
    local order = compare(text, at, range.low)
    if order < 0 or order == 0 and not range.low_inclusive then return false end
  end
  if range.high then
    local order = compare(text, at, range.high)
    if order > 0 or order == 0 and not range.high_inclusive then return false end
  end
  return true
end

function ranges.matches(range, word)
  local byte = string.byte
  local first = byte(word)
  return first ~= nil and range.may_start[first] ~= nil and is_inside(range, word, 1)
end

-- The first byte of most words decides; for the others the word is compared.
local function scan(range, block, places)
  local find, byte = string.find, string.byte
  local expression, may_start = range.expression, range.may_start
  if not expression then return 0 end
  local count, at = 0, find(block, expression)
  while at do
    if may_start[byte(block, at + 1)] == "surely" or is_inside(range, block, at + 1) then
      count = count + 1
      if places then places[count] = at end
      at = find(block, expression, (find(block, "\n", at + 1, true)))
    else
      at = find(block, expression, at + 1)
    end
  end
  return count
end

local function bytes_of(text)
  local byte = string.byte
  if not text or text == "" then return nil end
  local bytes = {}
  for i = 1, #text do bytes[i] = byte(text, i) end
  return bytes
end

-- Prepares a range; false or nil is an open bound.
function ranges.new(low, high, low_inclusive, high_inclusive)
  local range = { matches = ranges.matches, scan = scan, low = bytes_of(low), high = bytes_of(high),
    low_inclusive = low_inclusive, high_inclusive = high_inclusive, may_start = {} }
  -- No word is below the empty text.
  local lowest, highest = range.low and range.low[1] or 0, high == "" and -1 or range.high and range.high[1] or 244
  for b = lowest, math.min(highest, 244) do
    local is_above = not range.low or b > lowest or low_inclusive and #range.low == 1
    local is_below = not range.high or b < highest
    range.may_start[b] = is_above and is_below and "surely" or "perhaps"
  end
  local class = utf8.class(function(b) return range.may_start[b] ~= nil end)
  range.expression = class and "[\n ]" .. class
  return range
end

return ranges
