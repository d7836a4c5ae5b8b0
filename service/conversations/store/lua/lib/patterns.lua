-- Patterns over words, as filters/patterns has them: whether a word matches. Words are UTF-8 in lower case.
--
-- A pattern is an array whose first value tells the kind:
--
--   {"prefix", text}
--   {"glob", segment...}                  anything between the segments; a line feed in one is any one code point
--   {"range", low, high, low_inclusive, high_inclusive}   by code point; false for a bound that is open
--   {"fuzzy", text, edits}                1 or 2 edits: insertions, deletions, substitutions, swaps of neighbours
--   {"regex", first, accepting, starts, following}    an automaton without the states from which no word is accepted

local patterns = {}

local CODE_POINT = "[%z\1-\127\194-\244][\128-\191]*"

local function code_points(text)
  local points = {}
  for character in string.gmatch(text, CODE_POINT) do points[#points + 1] = character end
  return points
end

-- Whether a text is before another by its bytes, which is by code point. Lua's own `<` goes by the locale.
local function is_before(one, other)
  for i = 1, math.min(#one, #other) do
    local a, b = string.byte(one, i), string.byte(other, i)
    if a ~= b then return a < b end
  end
  return #one < #other
end

local function in_range(range, word)
  local low, high = range[2], range[3]
  if low and (is_before(word, low) or word == low and not range[4]) then return false end
  return not (high and (is_before(high, word) or word == high and not range[5]))
end

-- Lua's pattern for a segment. Only where it has a line feed: a plain text is found faster.
local function segment_pattern(segment)
  local escaped = string.gsub(segment, "[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0")
  return (string.gsub(escaped, "\n", (string.gsub(CODE_POINT, "%%", "%%%%"))))
end

-- Where a segment is found, from a place on: its first and its last byte.
local function find_segment(word, segment, at)
  if not string.find(segment, "\n", 1, true) then return string.find(word, segment, at, true) end
  return string.find(word, segment_pattern(segment), at)
end

-- Where the code points of a segment without its ends begin, counted from the end of a word; nil where it is shorter.
local function start_of_last(word, count)
  local at = #word + 1
  for _ = 1, count do
    repeat
      at = at - 1
      if at < 1 then return nil end
    until string.byte(word, at) < 128 or string.byte(word, at) > 191
  end
  return at
end

local function matches_at(word, segment, at)
  if not string.find(segment, "\n", 1, true) then return string.sub(word, at, at + #segment - 1) == segment and at + #segment end
  local _, last = string.find(word, "^" .. segment_pattern(segment), at)
  return last and last + 1
end

-- A segment in the middle is best matched where it comes first, so nothing is tried twice.
local function is_glob(glob, word)
  local first, last = glob[2], glob[#glob]
  local at = matches_at(word, first, 1)
  if not at then return false end
  if #glob == 2 then return at == #word + 1 end
  for i = 3, #glob - 1 do
    local _, finish = find_segment(word, glob[i], at)
    if not finish then return false end
    at = finish + 1
  end
  local start = start_of_last(word, #code_points(last))
  return start ~= nil and start >= at and matches_at(word, last, start) == #word + 1
end

-- The distance of optimal string alignment, in a band: two rows back are enough for a swap.
local function is_near(fuzzy, word)
  local most = fuzzy[3]
  local wanted, found = code_points(fuzzy[2]), code_points(word)
  if math.abs(#wanted - #found) > most then return false end
  local before, row = nil, {}
  for j = 0, #found do row[j] = j end
  for i = 1, #wanted do
    local current, least = { [0] = i }, i
    for j = 1, #found do
      local distance = most + 1
      if math.abs(i - j) <= most then
        local substitution = wanted[i] == found[j] and 0 or 1
        distance = math.min(row[j] + 1, current[j - 1] + 1, row[j - 1] + substitution)
        if i > 1 and j > 1 and wanted[i] == found[j - 1] and wanted[i - 1] == found[j] then
          distance = math.min(distance, before[j - 2] + 1)
        end
      end
      current[j] = distance
      least = math.min(least, distance)
    end
    if least > most then return false end
    before, row = row, current
  end
  return row[#found] <= most
end

local function scalar(character)
  local a, b, c, d = string.byte(character, 1, 4)
  if a < 128 then return a end
  if a < 224 then return (a - 192) * 64 + b - 128 end
  if a < 240 then return (a - 224) * 4096 + (b - 128) * 64 + c - 128 end
  return (a - 240) * 262144 + (b - 128) * 4096 + (c - 128) * 64 + d - 128
end

-- The class of a code point: the last that begins at it or before.
local function class_of(starts, point)
  local low, high = 1, #starts
  while low < high do
    local middle = math.ceil((low + high) / 2)
    if starts[middle] <= point then low = middle else high = middle - 1 end
  end
  return low
end

-- `following` has for each state the next one for each class of code points, 0 for none.
local function is_accepted(regex, word)
  local state, accepting, starts, following = regex[2], regex[3], regex[4], regex[5]
  for character in string.gmatch(word, CODE_POINT) do
    state = following[state][class_of(starts, scalar(character))]
    if state == 0 then return false end
  end
  return accepting[state]
end

local function is_prefix(prefix, word) return string.sub(word, 1, #prefix[2]) == prefix[2] end

local KINDS = { prefix = is_prefix, glob = is_glob, range = in_range, fuzzy = is_near, regex = is_accepted }

-- Whether a word matches a pattern.
function patterns.matches(pattern, word) return KINDS[pattern[1]](pattern, word) end

return patterns
