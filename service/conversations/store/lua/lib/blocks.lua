-- Blocks of columns: the values of up to 256 conversations, one a line, with a line feed before each and behind the
-- last. The words of a value are in lower case, with blanks between and perhaps behind them. An empty line has no
-- value; the byte 255, which is in no text, stands for a value that is kept elsewhere, and matches nothing.
--
-- A pattern finds its lines by `scan(self, block, places)`: it returns their number and, if `places` is given, fills it
-- with a place in each line, ascending, or of the line feed before.

local patterns = require("patterns")

local blocks = {}

-- A block as it has to be. A damaged one may lack its ends, on which every search relies.
local function whole(text)
  if string.byte(text, 1) == 10 and string.byte(text, -1) == 10 then return text end
  return "\n" .. text .. "\n"
end

-- The number of lines of which a word matches a pattern.
function blocks.count(text, pattern)
  local prepared = patterns.prepared(pattern)
  return prepared.scan(prepared, whole(text))
end

-- The numbers of these lines, from 0, ascending.
function blocks.lines(text, pattern)
  local find = string.find
  local prepared, places = patterns.prepared(pattern), {}
  text = whole(text)
  prepared.scan(prepared, text, places)
  local line, line_end = -1, 1
  for i, place in ipairs(places) do
    while line_end and line_end <= place do
      line = line + 1
      line_end = find(text, "\n", line_end + 1, true)
    end
    places[i] = line
  end
  return places
end

-- The first byte of a line, and the place of the line feed behind it; nil and the number of lines if the text has
-- fewer.
function blocks.place(text, line)
  local find = string.find
  local at = 1
  for number = 1, line do
    at = find(text, "\n", at + 1, true)
    if not at then return nil, number - 1 end
  end
  local finish = find(text, "\n", at + 1, true)
  if not finish then return nil, line end
  return at + 1, finish
end

return blocks
