-- Dictionaries of words and of ids.
local keys = require("keys")
local dictionary = require("dictionary")
local register = require("register")

-- Reads a slice of a dictionary. ARGV: field, rank of the first, maximum words. Returns: {type, then words with their
-- scores, or ids}.
register.reading("read_words", function(p, argv)
  local key, first, last = keys.words(p, argv[1]), tonumber(argv[2]), tonumber(argv[2]) + tonumber(argv[3]) - 1
  local kind = redis.call("TYPE", key).ok
  local found = { kind }
  local words = {}
  if kind == "zset" then words = redis.call("ZRANGE", key, first, last, "WITHSCORES") end
  if kind == "list" then words = redis.call("LRANGE", key, first, last) end
  for i, word in ipairs(words) do found[1 + i] = word end
  return found
end)

-- Removes words from a dictionary, or gives them new scores. ARGV: field, then each word and "" or "again".
register.writing("repair_words", function(p, argv)
  for i = 2, #argv, 2 do
    redis.call("ZREM", keys.words(p, argv[1]), argv[i])
    if argv[i + 1] == "again" then dictionary.add_word(p, argv[1], argv[i]) end
  end
  return { "ok" }
end)

-- Adds ids to the dictionary of ids, some in place of invalid entries. ARGV: place or "" to append, and id of each.
register.writing("repair_ids", function(p, argv)
  local key = keys.words(p, "id")
  for i = 1, #argv, 2 do
    if argv[i] == "" then redis.call("RPUSH", key, argv[i + 1]) else redis.call("LSET", key, argv[i], argv[i + 1]) end
  end
  return { "ok" }
end)
