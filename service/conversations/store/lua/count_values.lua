-- Counts the values in columns. ARGV: names of fields. Returns: how many conversations have a value in each.
local columns = require("columns")
local register = require("register")

register.reading("count_values", function(p, names)
  local counts = {}
  for i, name in ipairs(names) do counts[i] = columns.size(p, name) end
  return counts
end)
