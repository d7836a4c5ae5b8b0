-- Evaluates a predicate, a filter for one conversation's hash. See filters/predicate.py for its form.
local schema = require("schema")
local keys = require("keys")
local checks = require("checks")
local phrases = require("phrases")
local patterns = require("patterns")
local columns = require("columns")

local predicate = {}

local is_match

-- The values of a field, in lower case if the index ignores case; calls back with each until that returns true.
local function any_value(c, key, callback)
  local value = c[key]
  if not value or value == "" then return false end
  if schema.IGNORES_CASE[key] then value = string.lower(value) end
  if not schema.HAS_MANY[key] then return callback(value) end
  for one in string.gmatch(value, "[^,]+") do
    if callback(one) then return true end
  end
  return false
end

local function has_value(wanted, c)
  return any_value(c, wanted[2], function(value)
    for i = 3, #wanted do
      if value == wanted[i] then return true end
    end
  end)
end

local function has_matching_value(wanted, c)
  return any_value(c, wanted[2], function(value) return patterns.matches(wanted[3], value) end)
end

local function has_number(wanted, c)
  local number = tonumber(c[wanted[2]])
  if not number then return false end
  for i = 3, #wanted, 2 do
    if number >= wanted[i] and number <= wanted[i + 1] then return true end
  end
  return false
end

local function has_term(c, term) return string.find(" " .. (c.x or "") .. " ", " " .. term .. " ", 1, true) ~= nil end

local function has_word(wanted, c)
  local text = " " .. (c.x or "") .. " "
  for i = 4, #wanted do
    if string.find(text, " " .. wanted[i] .. " ", 1, true) then return true end
  end
  return false
end

-- A value that has words of which the index terms are hashes; "" if the conversation has no row. That of a conversation
-- as it was is known if its terms are the same.
local function long_words(c, column)
  local x, row = unpack(redis.call("HMGET", keys.conversation(c.p, c.id), "x", "row"))
  if x ~= c.x then error({ is_outdated = true }) end
  return columns.is_row_of(c.p, row, c.id) and columns.read(c.p, column, tonumber(row)) or ""
end

local function character(digits) return string.char(tonumber(digits, 16)) end

-- The word of an index term, without the prefix; nil if the term is a hash.
function predicate.word_of(term)
  if string.byte(term, 1) ~= 95 then return term end
  if string.byte(term, 2) == 95 then return nil end
  return (string.gsub(string.sub(term, 2), "%x%x", character))
end

-- Calls back with each index term of a text that has a prefix, without it, until that returns true. Something without
-- a prefix stands before all of these.
local function any_term(text, prefix, callback)
  local sought = " " .. prefix
  local _, at = string.find(text, sought, 1, true)
  while at do
    local ends = string.find(text, " ", at + 1, true) or #text + 1
    if callback(string.sub(text, at + 1, ends - 1)) then return true end
    _, at = string.find(text, sought, ends, true)
  end
  return false
end

local function has_matching_word(wanted, c)
  local column, prefix, pattern, has_long = wanted[2], wanted[3], wanted[4], false
  local is_found = any_term(c.x or "", prefix, function(term)
    local word = predicate.word_of(term)
    if word then return patterns.matches(pattern, word) end
    has_long = true
  end)
  if is_found or not has_long then return is_found end
  for word in string.gmatch(long_words(c, column), "%S+") do
    if patterns.matches(pattern, word) then return true end
  end
  return false
end

local function has_phrase(wanted, c)
  local terms = {}
  for i = 5, #wanted do terms[i - 4] = wanted[i] end
  return phrases.is_in(c.x or "", terms, wanted[4])
end

local function has_all(wanted, c)
  for i = 2, #wanted do
    if not is_match(wanted[i], c) then return false end
  end
  return true
end

local function has_any(wanted, c)
  for i = 2, #wanted do
    if is_match(wanted[i], c) then return true end
  end
  return false
end

local kinds = {
  ["and"] = has_all,
  ["or"] = has_any,
  ["not"] = function(wanted, c) return not is_match(wanted[2], c) end,
  words = has_word,
  phrase = has_phrase,
  exists = function(wanted, c) return has_term(c, wanted[3]) end,
  numbers = has_number,
  values = has_value,
  matching_word = has_matching_word,
  matching_value = has_matching_value,
}

function is_match(wanted, c) return kinds[wanted[1]](wanted, c) end

-- Whether the stored hash of a conversation, with `p` and `id`, matches a predicate. Raises an error with `is_outdated`
-- if that cannot be said of the conversation as it was.
predicate.is_match = is_match

-- Whether the index would find the hash of a conversation: it matches, and has no invalid number, as RediSearch does
-- not index such a hash.
function predicate.is_found(wanted, c)
  for _, key in ipairs(schema.NUMBERS) do
    if c[key] and not checks.is_time(c[key]) then return false end
  end
  return is_match(wanted, c)
end

-- Calls back with each part of a predicate that has no parts.
function predicate.each_atom(wanted, callback)
  local kind = wanted[1]
  if kind ~= "and" and kind ~= "or" and kind ~= "not" then
    callback(wanted)
  else
    for i = 2, #wanted do predicate.each_atom(wanted[i], callback) end
  end
end

-- The names of the fields of the hash that a predicate reads, as a list; without the parts for which `is_left_out` is
-- true, if it is given.
function predicate.reads(wanted, is_left_out)
  local names, is_read = {}, {}
  predicate.each_atom(wanted, function(atom)
    local kind = atom[1]
    local name = (kind == "numbers" or kind == "values" or kind == "matching_value") and atom[2] or "x"
    if is_read[name] or is_left_out and is_left_out(atom) then return end
    is_read[name] = true
    names[#names + 1] = name
  end)
  return names
end

return predicate
