-- Blocks of a column: the values of up to BLOCK_ROWS conversations, one a line, with a line feed before each and behind
-- the last. The words of a value are in lower case, with a blank between. An empty line has no value; a value that is not
-- true any more is overwritten by bytes that are in no text.

local patterns = require("patterns")

local blocks = {}

-- What a pattern is found by with string.find alone, wherever it is in a value: nil where its words have to be looked at.
local function needles_of(pattern)
  if pattern[1] == "prefix" then return { "\n" .. pattern[2], " " .. pattern[2] } end
  if pattern[1] ~= "glob" or pattern[2] ~= "" then return nil end
  local text = pattern[3]
  if not text or text == "" or string.find(text, "\n", 1, true) then return nil end
  if #pattern == 3 then return { text .. "\n", text .. " " } end
  if #pattern == 4 and pattern[4] == "" then return { text } end
end

-- Calls back with a place in each line that has one of some texts.
local function each_line_with(block, needles, callback)
  local places = {}
  for i, needle in ipairs(needles) do places[i] = string.find(block, needle, 1, true) or #block end
  while true do
    local at = math.min(unpack(places))
    if at >= #block then return end
    if string.byte(block, at) == 10 then at = at + 1 end
    callback(at)
    local line_end = string.find(block, "\n", at, true)
    for i, needle in ipairs(needles) do
      if places[i] < line_end then places[i] = string.find(block, needle, line_end, true) or #block end
    end
  end
end

-- The same for each line of which a word matches a pattern.
local function each_line_matching(block, pattern, callback)
  local line_end = 0
  for at, word in string.gmatch(block, "()([^ \n]+)") do
    if at > line_end and string.byte(word) ~= 255 and patterns.matches(pattern, word) then
      callback(at)
      line_end = string.find(block, "\n", at, true)
    end
  end
end

local function each_match(block, pattern, callback)
  local needles = needles_of(pattern)
  if needles then each_line_with(block, needles, callback) else each_line_matching(block, pattern, callback) end
end

-- How many values have a word that matches.
function blocks.count(block, pattern)
  local count = 0
  each_match(block, pattern, function() count = count + 1 end)
  return count
end

-- The rows of these values, from 0.
function blocks.lines(block, pattern)
  local rows, row, seen = {}, -1, 1
  each_match(block, pattern, function(at)
    local _, lines = string.gsub(string.sub(block, seen, at - 1), "\n", "")
    row, seen = row + lines, at
    rows[#rows + 1] = row
  end)
  return rows
end

-- Where the value of a row is: its first byte, and the line feed behind it; nil where the block has no such row.
function blocks.place(block, row)
  local at = 1
  for _ = 1, row do
    at = string.find(block, "\n", at + 1, true)
    if not at then return nil end
  end
  local finish = string.find(block, "\n", at + 1, true)
  if finish then return at + 1, finish end
end

return blocks
