-- Wildcards: segments with anything between them, and code points that may be any, by line feeds, in a segment. Nothing
-- is tried twice: a segment between two others is best matched where it comes first.

local utf8 = require("utf8")
local needles = require("needles")

local globs = {}

-- The most `?` in one of Lua's patterns: it takes the C stack for each.
local MOST_ANY = 64

local function count_any(text)
  local _, count = string.gsub(text, "\n", "")
  return count
end

local function expression_of(text)
  local any = string.gsub(utf8.CODE_POINT, "%%", "%%%%")
  return (string.gsub(utf8.escaped(text), "\n", any))
end

-- A segment, prepared. Without `?` it is a plain text; otherwise it has Lua's patterns for its parts, one after the
-- other.
local function segment_of(text)
  local any = count_any(text)
  if any == 0 then return { text = text, any = 0, is_plain = true, length = utf8.length(text) } end
  local segment = { text = text, any = any, length = utf8.length(text) }
  if any <= MOST_ANY then segment.expression = expression_of(text) end
  local points = utf8.split(text)
  for first = 1, #points, MOST_ANY do
    local part = table.concat(points, "", first, math.min(first + MOST_ANY - 1, #points))
    segment[#segment + 1] = "^" .. expression_of(part)
  end
  return segment
end

-- The first byte behind a segment that is at a place; nil if it is not there.
local function match_at(word, segment, at)
  local find, sub = string.find, string.sub
  if segment.is_plain then
    local behind = at + #segment.text
    return sub(word, at, behind - 1) == segment.text and behind or nil
  end
  for i = 1, #segment do
    local _, last = find(word, segment[i], at)
    if not last then return nil end
    at = last + 1
  end
  return at
end

-- The first byte behind so many code points; nil if there are not as many.
local function skip(word, at, count)
  for _ = 1, count do
    local b = string.byte(word, at)
    if not b then return nil end
    at = at + (b < 128 and 1 or b < 224 and 2 or b < 240 and 3 or 4)
  end
  return at
end

-- A segment between two others, prepared: where it comes first is where its core does, behind any code points.
local function floating_of(text)
  local before, core, behind = string.match(text, "^(\n*)(.-)(\n*)$")
  local is_plain = count_any(core) == 0
  return { before = #before, behind = #behind, is_plain = is_plain, core = is_plain and core or expression_of(core) }
end

-- The first byte behind the first place of such a segment, from a place on.
local function match_from(word, segment, at)
  local start = skip(word, at, segment.before)
  if not start then return nil end
  local _, last = string.find(word, segment.core, start, segment.is_plain)
  return last and skip(word, last + 1, segment.behind)
end

-- Where the last code points of a word begin; nil if there are not as many.
local function start_of_last(word, count)
  local byte = string.byte
  local at = #word + 1
  for _ = 1, count do
    repeat
      at = at - 1
      if at < 1 then return nil end
      local b = byte(word, at)
    until b < 128 or b > 191
  end
  return at
end

local function match_last(word, segment, at)
  local start
  if segment.is_plain then
    start = #word - #segment.text + 1
  else
    start = start_of_last(word, segment.length)
  end
  return start ~= nil and start >= at and match_at(word, segment, start) == #word + 1
end

function globs.matches(glob, word)
  local at = match_at(word, glob.first, 1)
  if not at then return false end
  if not glob.last then return at == #word + 1 end
  for _, segment in ipairs(glob.middle) do
    at = match_from(word, segment, at)
    if not at then return false end
  end
  return match_last(word, glob.last, at)
end

-- Looks at the words that have the glob's needles, or at all of them.
local function scan_words(glob, block, places)
  local find, sub, byte = string.find, string.sub, string.byte
  local one, other = glob.needles[1], glob.needles[2]
  local count, at = 0, 1
  local p, q = 0, other and 0 or math.huge
  while true do
    -- From the end of the last word on.
    if p < at then p = find(block, one, at, true) or math.huge end
    if q < at then q = find(block, other, at, true) or math.huge end
    local start = math.min(p, q)
    if start == math.huge then return count end
    local word_end
    if glob.ends_with_needle then
      word_end = start + #one - 1
    else
      word_end = find(block, "[\n ]", start + 1)
    end
    if glob.starts_with_needle then
      start = start + 1
    else
      local b = byte(block, start - 1)
      while b ~= 10 and b ~= 32 do
        start = start - 1
        b = byte(block, start - 1)
      end
    end
    at = word_end
    if globs.matches(glob, sub(block, start, word_end - 1)) then
      count = count + 1
      if places then places[count] = start end
      at = find(block, "\n", word_end, true)
    end
  end
end

local function scan_all_words(glob, block, places)
  local find, sub, byte = string.find, string.sub, string.byte
  local count, at = 0, 1
  while true do
    local start, last = find(block, "[^\n ]+", at)
    if not start then return count end
    at = last + 1
    if byte(block, start) ~= 255 and globs.matches(glob, sub(block, start, last)) then
      count = count + 1
      if places then places[count] = start end
      at = find(block, "\n", at, true)
    end
  end
end

-- The longest text without `?` in a glob; one at an end of the word counts as longer, as a separator is beside it.
local function choose_needles(glob, segments)
  local best, most = nil, 0
  for i, segment in ipairs(segments) do
    for first, text, behind in string.gmatch(segment, "()([^\n]+)()") do
      local is_start, is_end = i == 1 and first == 1, i == #segments and behind == #segment + 1
      local size = #text + ((is_start or is_end) and 1 or 0)
      if size > most then best, most = { text = text, is_start = is_start, is_end = is_end and not is_start }, size end
    end
  end
  if not best then return end
  local text = best.text
  glob.starts_with_needle, glob.ends_with_needle = best.is_start, best.is_end
  glob.needles = best.is_start and { "\n" .. text, " " .. text } or best.is_end and { text .. "\n", text .. " " }
    or { text }
end

-- How a glob of one segment finds its lines; nil if it has to look at words.
local function scan_of_one(segment, is_start, is_end)
  local text = segment.text
  if segment.is_plain and not (is_start and is_end) then
    local scan = is_start and needles.starting or is_end and needles.ending or needles.inside
    return function(_, block, places) return scan(block, text, places) end
  end
  if segment.any > MOST_ANY then return nil end
  local expression = (is_start and "[\n ]" or "") .. (segment.expression or utf8.escaped(text))
    .. (is_end and "[\n ]" or "")
  return function(_, block, places) return needles.like(block, expression, places) end
end

local function find_nothing() return 0 end

-- Prepares a glob of these segments.
function globs.new(segments)
  local find = string.find
  local length, is_any = 0, true
  for _, segment in ipairs(segments) do
    length = length + #segment
    is_any = is_any and not find(segment, "[^\n]")
  end
  -- Without a literal it only tells a length.
  if is_any then segments = #segments == 1 and segments or { string.rep("\n", math.max(length, 1)), "" } end
  local glob = { matches = globs.matches, scan = scan_all_words, first = segment_of(segments[1]), middle = {} }
  if #segments > 1 then glob.last = segment_of(segments[#segments]) end
  for i = 2, #segments - 1 do
    if segments[i] ~= "" then glob.middle[#glob.middle + 1] = segments[i] end
  end
  local has_first, has_last = segments[1] ~= "", not glob.last or segments[#segments] ~= ""
  if #glob.middle == 0 and not (glob.last and has_first and has_last) then
    local segment = (has_first or not glob.last) and glob.first or glob.last
    glob.scan = scan_of_one(segment, has_first, has_last) or glob.scan
  elseif #glob.middle == 1 and not has_first and not has_last then
    glob.scan = scan_of_one(segment_of(glob.middle[1]), false, false) or glob.scan
  end
  for i, text in ipairs(glob.middle) do glob.middle[i] = floating_of(text) end
  if segments[1] == "" and not glob.last then glob.scan = find_nothing end
  if glob.scan == scan_all_words then
    choose_needles(glob, segments)
    if glob.needles then glob.scan = scan_words end
  end
  return glob
end

return globs
