-- Finds words by an automaton over bytes whose states are made when the text first leads to them.
--
-- A state is a table of the states behind it, by the byte; one that it lacks is asked of `follow`. A block is walked
-- from its beginning to its end: separators lead to the start of the next word, or to `hit` if the word before matches.
-- Nothing leads out of `hit`, so that it is enough to look for it after eight bytes.
--
-- Between two code points a state leads to itself by the bytes within one: so a state may be entered by the first byte
-- of a code point if its other bytes do not matter.

local utf8 = require("utf8")

local walks = {}

-- How many states were made.
walks.states = 0

-- States in memory at a time; beyond that they are made again.
local MOST_STATES = 4096
-- Words that can only start with so many bytes, or fewer, are looked for by them.
local FEW = 48

-- Lua's pattern for the start of a word by its first byte; false if that says too little.
local function word_start_of(may_start)
  if not may_start then return false end
  local class, count = utf8.class(function(b) return (b < 128 or b > 193 and b < 245) and may_start(b) end)
  -- No word matches.
  if not class then return "\n\n\n" end
  return count <= FEW and "[\n ]" .. class
end

local function scan(walk, block, places)
  local find, byte = string.find, string.byte
  local start, dead, hit = walk.start, walk.dead, walk.hit
  if walk.word_start == nil then walk.word_start = word_start_of(walk.may_start) end
  local word_start = walk.word_start
  local count, state, at, size = 0, start, 1, #block
  while at <= size do
    local a, b, c, d, e, f, g, h = byte(block, at, at + 7)
    local after = state[a][b][c][d][e][f][g][h]
    if after == hit then
      repeat
        state = state[byte(block, at)]
        at = at + 1
      until state == hit
      count = count + 1
      -- In the line, or just before it: the byte before may be the line feed behind it.
      if places then places[count] = at - 2 end
      at = find(block, "\n", at - 1, true)
      state = start
    else
      at = at + 8
      state = after
    end
    if word_start and (state == dead or state == start) then
      at = find(block, word_start, state == dead and at or at - 1)
      if not at then break end
      at = at + 1
      state = start
    end
  end
  return count
end

local function matches(walk, word)
  local byte = string.byte
  local state, dead, hit = walk.start, walk.dead, walk.hit
  for at = 1, #word do
    state = state[byte(word, at)]
    if state == hit then return true end
    if state == dead then return false end
  end
  return state[10] == hit
end

-- Prepares a walk.
--
-- `first` is what the machine knows of a state, here the one before a word. `follow(known, byte)` returns that of the
-- state behind a byte, with a key by which it is the same: any value, the state's own for no change; `true` if every
-- word matches from there and `nil` if none does. `accepts(known)` is whether a word may end there, `may_start(byte)`
-- whether a word that matches may begin with a byte; absent if it may begin with most.
function walks.new(first, follow, accepts, may_start)
  local hit, dead, start = {}, {}, { known = first }
  local states, made = {}, 0
  dead[10], dead[32] = start, start
  local meta = {}
  local function state_of(known, key)
    local state = states[key]
    if state then return state end
    made = made + 1
    walks.states = walks.states + 1
    if made > MOST_STATES then
      states, made = {}, 1
      for b = 0, 255 do start[b] = nil end
    end
    state = setmetatable({ known = known }, meta)
    states[key] = state
    return state
  end
  function meta.__index(state, b)
    -- Behind the end of a block.
    if b == nil then return start end
    local after
    if b == 10 or b == 32 then
      after = state ~= start and accepts(state.known) and hit or start
    elseif b > 244 then
      after = dead
    else
      local known, key = follow(state.known, b)
      if known == true then
        after = hit
      elseif known == nil then
        after = dead
      elseif known == state.known and state ~= start then
        after = state
      else
        after = state_of(known, key)
      end
    end
    state[b] = after
    return after
  end
  setmetatable(start, meta)
  -- The byte is nil behind the end of a block.
  local function stay(state, b)
    if b then state[b] = state end
    return state
  end
  setmetatable(dead, { __index = stay })
  setmetatable(hit, { __index = stay })
  return { scan = scan, matches = matches, start = start, dead = dead, hit = hit, may_start = may_start }
end

return walks
