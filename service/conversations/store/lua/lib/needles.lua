-- Lines of a block that have a text at some place in a word: found by string.find alone, which is the fastest that Lua
-- has. Each function returns how many there are, and fills `places`, if given, with a place in each, as in blocks.lua.

-- Behind every block.
local NOWHERE = 1e300

local needles = {}

-- Anywhere in a word.
function needles.inside(block, needle, places)
  local find = string.find
  local count, at = 0, find(block, needle, 1, true)
  while at do
    count = count + 1
    if places then places[count] = at end
    at = find(block, needle, find(block, "\n", at, true), true)
  end
  return count
end

-- At the start of a word. A line's first word is looked for apart from the others: mostly it is enough.
function needles.starting(block, needle, places)
  local find = string.find
  local in_first, in_other = "\n" .. needle, " " .. needle
  local count = 0
  local first, other = find(block, in_first, 1, true), find(block, in_other, 1, true)
  if not other then
    -- Mostly so, and then no line is found twice.
    while first do
      count = count + 1
      if places then places[count] = first end
      first = find(block, in_first, first + 1, true)
    end
    return count
  end
  first = first or NOWHERE
  while true do
    local at = first
    if first < other then
      first = find(block, in_first, at + 1, true) or NOWHERE
      if other < first then
        local line_end = find(block, "\n", at + 1, true)
        if other < line_end then other = find(block, in_other, line_end, true) or NOWHERE end
      end
    elseif other < NOWHERE then
      at = other
      other = find(block, in_other, find(block, "\n", at, true), true) or NOWHERE
    else
      return count
    end
    count = count + 1
    if places then places[count] = at end
  end
end

-- At the end of a word.
function needles.ending(block, needle, places)
  local find = string.find
  local in_last, in_other, size = needle .. "\n", needle .. " ", #needle
  local count = 0
  local last, other = find(block, in_last, 1, true) or NOWHERE, find(block, in_other, 1, true) or NOWHERE
  while true do
    local at = last
    if last < other then
      last = find(block, in_last, at + size, true) or NOWHERE
    elseif other < NOWHERE then
      at = other
      local line_end = find(block, "\n", at, true)
      if last < line_end then last = find(block, in_last, line_end, true) or NOWHERE end
      other = find(block, in_other, line_end, true) or NOWHERE
    else
      return count
    end
    count = count + 1
    if places then places[count] = at end
  end
end

-- Where one of Lua's patterns is found. It must not try much at any place.
function needles.like(block, expression, places)
  local find = string.find
  local count, at = 0, find(block, expression)
  while at do
    count = count + 1
    if places then places[count] = at end
    -- It may have begun with the line feed before the line.
    at = find(block, expression, (find(block, "\n", at + 1, true)))
  end
  return count
end

return needles
