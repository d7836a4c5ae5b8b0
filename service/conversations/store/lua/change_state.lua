-- Sets or removes a conversation's state.
--
-- ARGV: conversation id, "OPEN", "CLOSED" or "-" for none
-- Returns: {"ok"}, {"missing"}, or {"damaged", ...}.
writing_function("change_state", function(keys, argv)
  local p, id = keys[1], argv[1]
  local c, stored, last = open_conversation(p, id)
  if not last then return { "missing" } end
  local message = latest_message(p, id, last)
  change_state(p, c, argv[2])
  if c.st ~= stored.st then save(p, id, c, stored, message) end
  return { "ok" }
end)
