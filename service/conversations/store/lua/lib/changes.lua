-- The log of changes: how conversations were indexed before and after each recent change. A caller that knows the
-- result of an earlier search follows the log instead of searching again: see known.lua.
local schema = require("schema")
local keys = require("keys")
local access = require("access")

local changes = {}

local INDEXED = schema.INDEXED

-- Before the names of fields as they are after a change.
local AFTER = "+"

-- Longer values are logged as this byte, which is in no text, and a hash: ten thousand entries have to stay small.
local MAX_LOGGED = 4096
local HASHED = "\255"

-- Stands for an entry while the log has none.
local EMPTY = "0-0"

-- Entries that are kept: a caller may follow the log for some minutes.
local MAX_ENTRIES = 10000

-- Whether any indexed field of a conversation changed.
function changes.is_index_changed(c, stored)
  for i = 1, #INDEXED do
    if stored[INDEXED[i]] ~= c[INDEXED[i]] then return true end
  end
  return false
end

local function add(p, entry)
  access.shared("XADD", keys.changes(p), "MAXLEN", "~", MAX_ENTRIES, "*", unpack(entry))
end

-- Logs a change without how the conversation was indexed: nobody can follow the log past it.
function changes.log_lost(p, id) add(p, { "key", id, "lost", "1" }) end

local function hashed(value) return HASHED .. redis.sha1hex(value) end

local function logged(value) return #value > MAX_LOGGED and hashed(value) or value end

-- A value from the log: the conversation still has a long one, or it is lost, and nil.
local function unlogged(p, id, key, value)
  if string.sub(value, 1, 1) ~= HASHED then return value end
  local stored = access.try("HGET", keys.conversation(p, id), key)
  return stored and hashed(stored) == value and stored or nil
end

-- Logs how a conversation was indexed before a change, and what is different after it.
function changes.log(p, id, stored, c)
  local entry = { "key", id }
  for _, key in ipairs(INDEXED) do
    if stored[key] then
      entry[#entry + 1] = key
      entry[#entry + 1] = logged(stored[key])
    end
    if stored[key] ~= c[key] then
      entry[#entry + 1] = AFTER .. key
      entry[#entry + 1] = logged(c[key] or "")
    end
  end
  add(p, entry)
end

-- The entries of the log after a given one, oldest first: {id of the entry, `before` and `after`, the indexed fields of
-- the conversation}; at most `limit`, and whether there may be more. Nil if the given one is gone, or one is lost.
function changes.since(p, entry, limit)
  local log = access.shared("XRANGE", keys.changes(p), entry, "+", "COUNT", limit + 1)
  if log and #log == 0 and entry == EMPTY then return {}, false end
  if not log or #log == 0 or log[1][1] ~= entry then return nil end
  local found = {}
  for i = 2, #log do
    local flat, before, after = log[i][2], { p = p }, { p = p }
    if flat[1] ~= "key" or flat[3] == "lost" then return nil end
    for f = 3, #flat, 2 do
      local key, is_after = string.gsub(flat[f], "^%" .. AFTER, "")
      local value = unlogged(p, flat[2], key, flat[f + 1])
      if not value then return nil end
      if is_after == 1 then
        after[key] = value ~= "" and value or nil
      else
        before[key] = value
        after[key] = value
      end
    end
    before.id, after.id = flat[2], flat[2]
    found[i - 1] = { log[i][1], before, after }
  end
  return found, #log > limit
end

-- The id of the last entry of the log; nil if the log is damaged.
function changes.last(p)
  local found = access.shared("XREVRANGE", keys.changes(p), "+", "-", "COUNT", 1)
  return found and (found[1] and found[1][1] or EMPTY)
end

return changes
