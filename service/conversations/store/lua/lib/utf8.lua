-- Text in UTF-8, for Lua's string functions, which know bytes only.

local utf8 = {}

-- Lua's pattern for one code point of a word: neither a blank nor a line feed, and no byte that is in no text. What is
-- frequent stands first, as Lua tries one after the other.
utf8.CODE_POINT = "[\33-\127\194-\244%z\1-\9\11-\31][\128-\191]*"

-- The code points of a text, each as a string.
function utf8.split(text)
  local points = {}
  for character in string.gmatch(text, "[%z\1-\127\194-\244][\128-\191]*") do points[#points + 1] = character end
  return points
end

-- The number of code points in a text.
function utf8.length(text)
  local _, count = string.gsub(text, "[^\128-\191]", "")
  return count
end

-- Lua's pattern that finds a text as it is.
function utf8.escaped(text)
  local escaped = string.gsub(text, "[%^%$%(%)%%%.%[%]%*%+%-%?]", "%%%0")
  return (string.gsub(escaped, "%z", "%%z"))
end

-- What stands in a class for a byte; these cannot be the end of a range.
local SPECIAL = { [0] = "%z", [37] = "%%", [45] = "%-", [93] = "%]", [94] = "%^" }

-- Lua's class, with its brackets, of the bytes for which a function says so, separators of words left out; nil if there
-- are none. The second value is their number.
function utf8.class(has)
  local items, count, first = {}, 0, nil
  for b = 0, 256 do
    local is_in = b < 256 and b ~= 10 and b ~= 32 and has(b)
    if is_in then count = count + 1 end
    if is_in and SPECIAL[b] then items[#items + 1] = SPECIAL[b] end
    if is_in and not SPECIAL[b] then
      first = first or b
    elseif first then
      items[#items + 1] = string.char(first) .. "-" .. string.char(b - 1)
      first = nil
    end
  end
  if count > 0 then return "[" .. table.concat(items) .. "]", count end
end

return utf8
