-- The log of changes: how recently changed conversations were indexed before. A caller that knows the result of an
-- earlier search follows the log instead of searching again: see known.lua.
local schema = require("schema")
local keys = require("keys")
local access = require("access")

local changes = {}

local INDEXED = schema.INDEXED

-- Longer index terms are not logged: a thousand entries have to stay small.
local MAX_LOGGED = 4096

-- Whether any indexed field of a conversation changed.
function changes.is_index_changed(c, stored)
  for i = 1, #INDEXED do
    if stored[INDEXED[i]] ~= c[INDEXED[i]] then return true end
  end
  return false
end

-- Logs a change without how the conversation was indexed before: nobody can follow the log past it.
function changes.log_lost(p, id)
  access.shared("XADD", keys.changes(p), "MAXLEN", "~", 1000, "*", "key", id, "lost", "1")
end

-- Logs how a conversation was indexed, before it changes.
function changes.log(p, id, stored)
  if #(stored.x or "") > MAX_LOGGED then
    changes.log_lost(p, id)
    return
  end
  local entry = { "key", id }
  for _, key in ipairs(INDEXED) do
    if stored[key] then
      entry[#entry + 1] = key
      entry[#entry + 1] = stored[key]
    end
  end
  access.shared("XADD", keys.changes(p), "MAXLEN", "~", 1000, "*", unpack(entry))
end

-- The entries of the log after a given one, oldest first, each a table with `key` and the indexed fields; nil if the
-- given one is gone, if more than `limit` follow it, or if one of them is lost.
function changes.since(p, entry, limit)
  local log = access.shared("XRANGE", keys.changes(p), entry, "+", "COUNT", limit + 2)
  if not log or #log == 0 or log[1][1] ~= entry or #log > limit + 1 then return nil end
  local found = {}
  for i = 2, #log do
    local flat, before = log[i][2], {}
    if flat[1] ~= "key" or flat[3] == "lost" then return nil end
    for f = 1, #flat, 2 do before[flat[f]] = flat[f + 1] end
    found[i - 1] = before
  end
  return found
end

-- The id of the last entry of the log; nil if there is none.
function changes.last(p)
  local last = (access.shared("XREVRANGE", keys.changes(p), "+", "-", "COUNT", 1) or {})[1]
  return last and last[1]
end

return changes
