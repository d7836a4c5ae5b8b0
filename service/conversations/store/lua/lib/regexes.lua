-- Regular expressions, as automata over bytes that Python makes: filters/patterns/tables.py says how they are written.

local walks = require("walks")

local regexes = {}

-- Prepares an automaton; the texts are kept as they are, as few of its states are visited.
function regexes.new(first, columns, accepting, width, outer, inner_width, inner)
  local outer_states = #accepting

  local function read(row, column, row_width, text)
    local at = 2 * (row * row_width + column) + 1
    local high, low = string.byte(text, at, at + 1)
    local state = 256 * high + low
    if state == 1 then return true end
    if state > 1 then return state, state end
  end

  local function follow(state, b)
    -- Only a start may be one of these.
    if state == 0 then return nil end
    if state == 1 then return true end
    local is_continuation = b > 127 and b < 192
    local column = string.byte(columns, b + 1)
    if state < outer_states + 2 then
      if is_continuation then return state, state end
      return read(state - 2, column, width, outer)
    end
    if is_continuation then return read(state - 2 - outer_states, column, inner_width, inner) end
  end

  local function accepts(state)
    return state > 1 and state < outer_states + 2 and string.byte(accepting, state - 1) == 1
  end

  local seen = {}
  local function may_start(b)
    local column = string.byte(columns, b + 1)
    if seen[column] == nil then seen[column] = follow(first, b) ~= nil end
    return seen[column]
  end

  return walks.new(first, follow, accepts, may_start)
end

return regexes
