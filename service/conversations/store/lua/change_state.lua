-- Sets or removes a conversation's state.
--
-- ARGV: conversation id, "OPEN", "CLOSED" or "-" for none
-- Returns: {"ok"} or {"missing"}.
redis.register_function("change_state", function(keys, argv)
  local p, id = keys[1], argv[1]
  local c = read_hash(conversation_key(p, id))
  if not c.last then return { "missing" } end
  local before = c.state
  change_state(p, id, c, argv[2])
  if c.state ~= before then save(p, id, c) end
  return { "ok" }
end)
