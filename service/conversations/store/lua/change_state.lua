-- Sets or removes a conversation's state.
--
-- ARGV: conversation id, "OPEN", "CLOSED" or "-" for none
-- Returns: {"ok"} or {"missing"}.
redis.register_function("change_state", function(keys, argv)
  local p, id = keys[1], argv[1]
  local c, stored = open_conversation(p, id)
  if not c.lm then return { "missing" } end
  change_state(p, c, argv[2])
  if c.st ~= stored.st then save(p, id, c, stored) end
  return { "ok" }
end)
