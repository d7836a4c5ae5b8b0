-- Dictionaries: the words in use in a field. The conversation ids are a list, all others are sorted sets in order of
-- arrival, so that readers fetch only unknown words. The score is the time in microseconds, unique within the set: the
-- score of the last known word tells a reader whether the set was lost or restored. A word stays when its last document
-- goes; it then matches nothing.
local schema = require("schema")
local keys = require("keys")
local access = require("access")
local format = require("format")

local dictionary = {}

local DICTIONARIES = schema.DICTIONARIES

-- Adds a word if it is missing.
function dictionary.add_word(p, name, word)
  local key = keys.words(p, name)
  local known, problem = access.try("ZSCORE", key, word)
  if problem then access.warn(key, problem) end
  if known or problem then return end
  local now = redis.call("TIME")
  local score = tonumber(now[1]) * 1000000 + tonumber(now[2])
  local last = tonumber(redis.call("ZRANGE", key, -1, -1, "WITHSCORES")[2] or "0")
  -- A score that cannot be incremented isn't a time; the new word is inserted before it, which readers notice.
  if last >= score and last < 2 ^ 53 then score = last + 1 end
  redis.call("ZADD", key, format.integer(score), word)
end

-- Adds words, given by dictionary name.
function dictionary.add_words(p, words)
  for name, some in pairs(words) do
    for _, word in ipairs(some) do dictionary.add_word(p, name, word) end
  end
end

-- Calls a function with dictionary name and word for each value that a conversation did not have before.
function dictionary.each_new_word(c, before, callback)
  for i = 1, #DICTIONARIES do
    local row = DICTIONARIES[i]
    local value, old = c[row.key], before[row.key]
    if value and value ~= old then
      if row.ignores_case then value = string.lower(value) end
      if not row.has_many then
        callback(row.name, value)
      else
        local had = "," .. (old or "") .. ","
        for word in string.gmatch(value, "[^,]+") do
          if not string.find(had, "," .. word .. ",", 1, true) then callback(row.name, word) end
        end
      end
    end
  end
end

-- What a reader lacks: the number of words that it may keep, the mark of the last one returned, and the words. The mark
-- of an id is the id itself, of another word its score.
function dictionary.unknown_words(p, name, known, mark)
  local key = keys.words(p, name)
  if not access.try(name == "id" and "LLEN" or "ZCARD", key) then access.damaged("dictionary", name) end
  if name == "id" then
    if known > 0 and redis.call("LINDEX", key, known - 1) ~= mark then known = 0 end
    local ids = redis.call("LRANGE", key, known, known + 9999)
    local lacking = { known, ids[#ids] or "0" }
    for i, id in ipairs(ids) do lacking[i + 2] = id end
    return lacking
  end
  if known > 0 then
    local last = redis.call("ZRANGE", key, known - 1, known - 1, "WITHSCORES")[2]
    if last ~= mark then known = 0 end
  end
  local flat = redis.call("ZRANGE", key, known, known + 9999, "WITHSCORES")
  local lacking = { known, flat[#flat] or "0" }
  for i = 1, #flat, 2 do lacking[#lacking + 1] = flat[i] end
  return lacking
end

return dictionary
