-- Evaluates a predicate, a filter for one conversation's hash. See filters/predicate.py for its form.
local schema = require("schema")
local checks = require("checks")
local phrases = require("phrases")

local predicate = {}

local is_match

-- Whether one of the predicate's values is the field's value, or one of its values.
local function has_value(wanted, c)
  local key = wanted[2]
  local value = c[key]
  if not value then return false end
  if schema.IGNORES_CASE[key] then value = string.lower(value) end
  if not schema.HAS_MANY[key] then
    for i = 3, #wanted do
      if value == wanted[i] then return true end
    end
    return false
  end
  value = "," .. value .. ","
  for i = 3, #wanted do
    if not string.find(wanted[i], ",", 1, true) and string.find(value, "," .. wanted[i] .. ",", 1, true) then
      return true
    end
  end
  return false
end

local function has_number(wanted, c)
  local number = tonumber(c[wanted[2]])
  if not number then return false end
  for i = 3, #wanted, 2 do
    if number >= wanted[i] and number <= wanted[i + 1] then return true end
  end
  return false
end

local function has_word(wanted, c)
  local text = " " .. (c.x or "") .. " "
  for i = 2, #wanted do
    if string.find(text, " " .. wanted[i] .. " ", 1, true) then return true end
  end
  return false
end

local function has_phrase(wanted, c)
  local terms = {}
  for i = 3, #wanted do terms[i - 2] = wanted[i] end
  return phrases.is_in(c.x or "", terms, wanted[2])
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
  numbers = has_number,
  start = function(wanted, c) return string.sub(c.id or "", 1, #wanted[2]) == wanted[2] end,
  values = has_value,
}

function is_match(wanted, c) return kinds[wanted[1]](wanted, c) end

-- Whether the stored hash of a conversation matches a predicate.
predicate.is_match = is_match

-- Whether the index would find the hash of a conversation: it matches, and has no invalid number, as RediSearch does
-- not index such a hash.
function predicate.is_found(wanted, c)
  for _, key in ipairs(schema.NUMBERS) do
    if c[key] and not checks.is_time(c[key]) then return false end
  end
  return is_match(wanted, c)
end

-- The size of a predicate in values, terms and numbers, which is what evaluating it costs.
function predicate.size_of(wanted)
  local kind = wanted[1]
  if kind ~= "and" and kind ~= "or" and kind ~= "not" then return #wanted end
  local size = 0
  for i = 2, #wanted do size = size + predicate.size_of(wanted[i]) end
  return size
end

return predicate
