-- Patterns over words, as WordPattern.spec() in filters/patterns writes them. Words are UTF-8 in lower case, without
-- blanks and line feeds; a word that begins with the byte 255 stands for another and matches nothing.
--
-- A pattern is an array whose first value tells the kind:
--
--   {"prefix", text}
--   {"glob", segment...}                  anything between the segments; a line feed in one is any one code point
--   {"range", low, high, low_inclusive, high_inclusive}   by code point; false for a bound that is open
--   {"fuzzy", text, edits}                1 or 2 edits: insertions, deletions, substitutions, swaps of neighbours
--   {"regex", first, columns, accepting, width, outer, inner_width, inner}    an automaton, see regexes.lua
--
-- What is prepared for one is kept in the table of the pattern itself, by the name `prepared`, and for the next calls.
-- It grows with the words that it meets, within bounds.

local needles = require("needles")
local globs = require("globs")
local ranges = require("ranges")
local fuzzy = require("fuzzy")
local regexes = require("regexes")
local walks = require("walks")

local patterns = {}

local function prefix_of(text)
  return {
    matches = function(_, word) return string.sub(word, 1, #text) == text end,
    scan = function(_, block, places) return needles.starting(block, text, places) end,
  }
end

local KINDS = {
  prefix = function(pattern) return prefix_of(pattern[2]) end,
  glob = function(pattern) return globs.new({ unpack(pattern, 2) }) end,
  range = function(pattern) return ranges.new(unpack(pattern, 2)) end,
  fuzzy = function(pattern) return fuzzy.new(pattern[2], pattern[3]) end,
  regex = function(pattern) return regexes.new(unpack(pattern, 2)) end,
}

-- Patterns that earlier calls prepared: each piece of a search brings them again. They are forgotten when they are
-- many, or their states are.
local MOST_KEPT, MOST_STATES = 300, 30000
local kept, count, states = {}, 0, 0

local function key_of(pattern)
  local parts = {}
  for i = 1, #pattern do
    local text = tostring(pattern[i])
    parts[i] = type(pattern[i]) .. ":" .. #text .. ":" .. text
  end
  return table.concat(parts, " ")
end

-- What a pattern matches with: `matches(self, word)`, and `scan(self, block, places)`, see blocks.lua.
function patterns.prepared(pattern)
  local prepared = pattern.prepared
  if prepared then return prepared end
  local key = key_of(pattern)
  prepared = kept[key]
  if not prepared then
    if count >= MOST_KEPT or walks.states - states > MOST_STATES then kept, count, states = {}, 0, walks.states end
    prepared = KINDS[pattern[1]](pattern)
    kept[key], count = prepared, count + 1
  end
  pattern.prepared = prepared
  return prepared
end

-- Whether a word matches a pattern.
function patterns.matches(pattern, word)
  local prepared = patterns.prepared(pattern)
  return word ~= "" and prepared.matches(prepared, word)
end

return patterns
