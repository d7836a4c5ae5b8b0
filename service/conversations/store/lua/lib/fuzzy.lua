-- Words within one or two edits of a text: insertions, deletions, substitutions of code points, and swaps of two
-- neighbours, none of which is edited again (optimal string alignment).
--
-- A state is a row of the table of distances, after so many code points of the word, but only near its diagonal: more
-- than `edits` away the distance is larger. It also has what a swap would give whose first half was just read. The rows
-- are made once for each state, not for each word.

local utf8 = require("utf8")
local walks = require("walks")

local fuzzy = {}

-- Prepares a fuzzy word.
function fuzzy.new(text, edits)
  local wanted = utf8.split(text)
  local size, width, too_many = #wanted, 2 * edits + 1, edits + 1
  local is_wanted, is_beginning = {}, {}
  for _, character in ipairs(wanted) do
    is_wanted[character] = true
    for i = 1, #character - 1 do is_beginning[string.sub(character, 1, i)] = true end
  end

  -- The row behind a code point; false is one that the text does not have. Place i of a row at `length` is for the
  -- first length - edits - 1 + i code points of the text; of its swaps, for those of the next row.
  local function next_row(row, character)
    local length = row.length + 1
    local distances, swaps, old = {}, {}, row.distances
    local key, is_alive = length, false
    for i = 1, width do
      local j = length - edits - 1 + i
      local distance = too_many
      if j >= 0 and j <= size then
        distance = math.min((old[i + 1] or too_many) + 1, (distances[i - 1] or too_many) + 1, too_many,
          old[i] + (wanted[j] == character and 0 or 1))
        if wanted[j - 1] == character then distance = math.min(distance, row.swaps[i]) end
      end
      distances[i] = distance
      local is_swap = wanted[j + 1] == character and j > 0
      swaps[i] = is_swap and math.min(old[i] + 1, too_many) or too_many
      -- Where a swap may follow, so may a substitution: it never lives alone.
      is_alive = is_alive or distance <= edits
      key = (key * 4 + distance) * 4 + swaps[i]
    end
    if is_alive then return { length = length, distances = distances, swaps = swaps, key = key, read = "" }, key end
  end

  local function follow(row, b)
    if row.read == "" and b > 127 and b < 192 then return row, row.key end
    local read = row.read .. string.char(b)
    if is_beginning[read] then
      return { length = row.length, distances = row.distances, swaps = row.swaps, key = row.key, read = read },
        row.key .. read
    end
    return next_row(row, is_wanted[read] and read)
  end

  local function accepts(row)
    local distance = row.distances[size - row.length + edits + 1]
    return row.read == "" and distance ~= nil and distance <= edits
  end

  local distances, swaps = {}, {}
  for i = 1, width do
    local j = i - edits - 1
    distances[i], swaps[i] = (j < 0 or j > size) and too_many or j, too_many
  end
  return walks.new({ length = 0, distances = distances, swaps = swaps, key = 0, read = "" }, follow, accepts)
end

return fuzzy
