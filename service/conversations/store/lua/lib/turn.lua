-- Turns: Redis runs one function at a time, so long work is cut into pieces, each in a call of its own. Processor time,
-- as Redis stops its own clock while a function runs.
local turn = {}

-- Of a piece, in seconds. The longest call takes up to twice that: a search ends some milliseconds late, and a page has
-- to be rendered.
local LENGTH = 0.008

-- Of work that cannot be cut, which is only done where data is damaged.
turn.WHOLE = 2

local ends = 0

-- Processor time in seconds.
function turn.now() return os.clock() end

-- Begins a turn. `seconds`: a longer one.
function turn.begin(seconds) ends = os.clock() + (seconds or LENGTH) end

function turn.is_over() return os.clock() >= ends end

-- The milliseconds that are left, at least 1.
function turn.left_ms() return math.max(1, math.floor((ends - os.clock()) * 1000)) end

return turn
