-- Counts the words of dictionaries. ARGV: names of fields other than id. Returns: how many words each has had.
local keys = require("keys")
local access = require("access")
local register = require("register")

register.reading("count_words", function(p, names)
  local counts = {}
  for i, name in ipairs(names) do counts[i] = access.shared("ZCARD", keys.words(p, name)) or 0 end
  return counts
end)
