-- Loose phrases: a text has one if its terms have distinct positions p_i such that the largest p_i - i minus the
-- smallest is at most the slop.
local phrases = {}

-- The positions of some terms in a text of terms separated by blanks. `wanted`: a table with the terms as keys.
local function positions_of(text, wanted)
  local positions, at = {}, 0
  for term in string.gmatch(text, "%S+") do
    at = at + 1
    if wanted[term] then
      positions[term] = positions[term] or {}
      table.insert(positions[term], at)
    end
  end
  return positions
end

-- Whether the terms have distinct positions with every p_i - i within [low, low + slop]. The windows of a term's
-- occurrences move to the right with i, so taking the first free position each time misses no choice.
local function fits(terms, positions, low, slop)
  local taken = {}
  for i, term in ipairs(terms) do
    local list, n = positions[term], (taken[term] or 0) + 1
    while list[n] and list[n] < low + i do n = n + 1 end
    if not list[n] or list[n] > low + i + slop then return false end
    taken[term] = n
  end
  return true
end

-- Whether a text has a phrase.
function phrases.is_in(text, terms, slop)
  local wanted = {}
  for _, term in ipairs(terms) do
    -- Mostly it is not even a part of the text, which is far faster to find out.
    if not string.find(text, term, 1, true) then return false end
    wanted[term] = true
  end
  local positions = positions_of(text, wanted)
  for _, term in ipairs(terms) do
    if not positions[term] then return false end
  end
  for i, term in ipairs(terms) do
    for _, at in ipairs(positions[term]) do
      if fits(terms, positions, at - i, slop) then return true end
    end
  end
  return false
end

return phrases
