local function save_state(p, id, change)
  local c, stored, last = open_conversation(p, id)
  if not last then return { "missing" } end
  local message = latest_message(p, id, last)
  change_state(p, c, change)
  if c.st ~= stored.st then save(p, id, c, stored, message) end
  return { "ok" }
end

-- Sets a conversation's state. ARGV: conversation id, "OPEN" or "CLOSED". Returns: {"ok"}, {"missing"}, or
-- {"damaged", ...}.
writing_function("set_state", function(keys, argv) return save_state(keys[1], argv[1], argv[2]) end)

-- Removes a conversation's state. ARGV: conversation id. Returns: {"ok"}, {"missing"}, or {"damaged", ...}.
freeing_function("remove_state", function(keys, argv) return save_state(keys[1], argv[1], "-") end)
