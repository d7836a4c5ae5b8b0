-- Index terms, as in terms.py, and the default name of a contact.
local schema = require("schema")

local terms = {}

-- The same as terms.name_term in Python, for a word of visible ASCII in lower case.
function terms.name_term(word)
  local encoded = word
  if not string.find(word, "^[a-z0-9]+$") then
    encoded = "_" .. string.gsub(word, ".", function(c) return string.format("%02x", string.byte(c)) end)
  end
  if #encoded > 100 then encoded = "__" .. redis.sha1hex(word) end
  return schema.NAME_PREFIX .. encoded
end

-- The two words of the default name: the source's last dotted part with its first letter in upper case, and the end of
-- the id.
function terms.default_name(source, id)
  local part = string.match(source, "([^.]*)$")
  if part == "" then part = source end
  return string.upper(string.sub(part, 1, 1)) .. string.sub(part, 2), string.sub(id, -5)
end

-- Joins the index terms of a conversation: of its name, of its metadata, and those for the existence of other fields.
-- The separators aren't terms, and no term contains one.
function terms.write(c, name_terms, metadata_terms)
  local others = {}
  for _, row in ipairs(schema.EXISTS) do
    if c[row.key] then others[#others + 1] = row.term end
  end
  if c.st then others[#others + 1] = schema.STATE_TERMS[c.st] end
  c.x = schema.NAME_EXISTS .. " " .. name_terms .. " | " .. metadata_terms .. " | " .. table.concat(others, " ")
end

-- The index terms of name and metadata, from what `write` joined; nil if it is malformed.
function terms.parts(c)
  return string.match(c.x or "", "^%S+ ([^|]*) | ([^|]*) |")
end

return terms
