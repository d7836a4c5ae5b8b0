-- Counts the conversations that a predicate matches, without the index, row by row in the columns.
--
-- Of a block of rows, each part of the predicate gives the lines that match; where a part asks for no column, it is
-- evaluated on the conversations' hashes. So "and" asks its columns first.
local schema = require("schema")
local keys = require("keys")
local access = require("access")
local checks = require("checks")
local blocks = require("blocks")
local columns = require("columns")
local known = require("known")
local phrases = require("phrases")
local predicate = require("predicate")
local turn = require("turn")

local scan = {}

local BLOCK_ROWS, LONG, ID_LENGTH = columns.BLOCK_ROWS, columns.LONG, columns.ID_LENGTH
local LONG_BYTE = 255

-- Parts of a predicate that are evaluated for a whole block without a look at the clock.
local PARTS_AT_ONCE = 4

-- More values than can be looked at one by one in a turn.
local MANY = 2000

-- Bytes of long values that are looked at without a look at the clock.
local LONG_AT_ONCE = 100000

-- Any word.
local ANY = { "glob", "\n", "" }

-- What all ids start with, and no others, of which the first 48 bits are in a range; nil if there is no such text.
local function id_prefix_of(wanted)
  if #wanted ~= 4 then return nil end
  local low, high = math.max(wanted[3], 0), math.min(wanted[4], 2 ^ 48 - 1)
  local size = high - low + 1
  local _, exponent = math.frexp(size)
  local digits = 12 - (exponent - 1) / 4
  if size ~= 2 ^ (exponent - 1) or digits % 1 ~= 0 or low % size ~= 0 then return nil end
  local text = string.format("%06x%06x", math.floor(low / 2 ^ 24), low % 2 ^ 24)
  return string.sub(string.sub(text, 1, 8) .. "-" .. string.sub(text, 9), 1, digits > 8 and digits + 1 or digits)
end

-- A pattern for the words of a phrase, see phrase_lines; nil if one of them is only known as a hash.
local function words_of_phrase(wanted)
  local words = {}
  for i = 5, #wanted do
    words[i - 4] = predicate.word_of(string.sub(wanted[i], #wanted[3] + 1))
    if not words[i - 4] then return nil end
  end
  return { "glob", words[1], words = words }
end

-- How a part of a predicate is found in a column: its name and a pattern; nil if it is not in one.
local function column_of(wanted)
  if wanted.column ~= nil then return wanted.column, wanted.pattern end
  local kind, name, pattern = wanted[1], wanted[2], nil
  if kind == "matching_word" then
    pattern = wanted[4]
  elseif kind == "matching_value" then
    name, pattern = name == "id" and name or schema.COLUMNS[name] or "", wanted[3]
  elseif kind == "values" and #wanted == 3 then
    name, pattern = schema.COLUMNS[name] or "", { "glob", wanted[3] }
  elseif kind == "exists" then
    pattern = ANY
  elseif kind == "numbers" and name == schema.ID_START then
    local prefix = id_prefix_of(wanted)
    name, pattern = "id", prefix and { "prefix", prefix }
  elseif kind == "numbers" then
    name = schema.COLUMNS[name] or ""
    pattern = wanted
  elseif kind == "words" and #wanted == 4 then
    local word = predicate.word_of(string.sub(wanted[4], #wanted[3] + 1))
    pattern = word and { "glob", word }
  end
  if kind == "phrase" then pattern = words_of_phrase(wanted) end
  wanted.column = pattern and name ~= "" and name
  wanted.pattern = pattern
  return wanted.column, pattern
end

-- Whether a predicate asks only for columns.
local function is_in_columns(wanted)
  if wanted.is_in_columns == nil then
    wanted.is_in_columns = true
    predicate.each_atom(wanted, function(atom)
      if not column_of(atom) then wanted.is_in_columns = false end
    end)
  end
  return wanted.is_in_columns
end

-- The lines with values that have keys of their own.
local function long_lines(text)
  local lines, number = {}, 0
  for line in string.gmatch(text, "([^\n]*)\n") do
    -- The first line feed stands before the first line.
    if string.byte(line) == LONG_BYTE then lines[#lines + 1] = number - 1 end
    number = number + 1
  end
  return lines
end

-- A column in a block: its text, and `long`, the lines with values that have keys of their own, if there are any.
local function load_column(s, block, name)
  if block.columns[name] then return end
  local column = { text = columns.block(s.p, name, block.number) or "\n" }
  if string.find(column.text, LONG, 1, true) then
    column.long, block.has_long = long_lines(column.text), true
  end
  block.columns[name] = column
end

-- The id in a line. The column of ids is only read for that: it is the largest one.
local function id_of(s, block, line)
  block.ids = block.ids or columns.block(s.p, "id", block.number) or "\n"
  return string.sub(block.ids, ID_LENGTH * line + 2, ID_LENGTH * (line + 1))
end

-- Lines without others; both ascending.
local function without(lines, others)
  local rest, i = {}, 1
  for _, line in ipairs(lines) do
    while others[i] and others[i] < line do i = i + 1 end
    if others[i] ~= line then rest[#rest + 1] = line end
  end
  return rest
end

local function common(lines, others)
  local both, i = {}, 1
  for _, line in ipairs(lines) do
    while others[i] and others[i] < line do i = i + 1 end
    if others[i] == line then both[#both + 1] = line end
  end
  return both
end

local select_lines

local function select_all(s, block, wanted, lines)
  for asks_columns = 1, 0, -1 do
    for i = 2, #wanted do
      if (is_in_columns(wanted[i]) and 1 or 0) == asks_columns then
        lines = select_lines(s, block, wanted[i], lines)
      end
      if #lines == 0 then return lines end
    end
  end
  return lines
end

local function select_any(s, block, wanted, lines)
  local rest = lines
  for i = 2, #wanted do rest = without(rest, select_lines(s, block, wanted[i], rest)) end
  return without(lines, rest)
end

-- The fields of a conversation that the parts of the predicate need that ask for no column.
local function read_hash(s, block, line)
  s.scan_reads = s.scan_reads or predicate.reads(s.predicate, column_of)
  local c = block.hashes[line]
  if c == nil then
    c = known.read_fields(s, id_of(s, block, line), s.scan_reads) or false
    block.hashes[line] = c
  end
  return c
end

local function select_by_hash(s, block, wanted, lines)
  local found, start = {}, wanted[1] == "numbers" and wanted[2] == schema.ID_START and {}
  for _, line in ipairs(lines) do
    if start then start[schema.ID_START] = checks.id_start(id_of(s, block, line)) end
    local c = start or read_hash(s, block, line)
    if c and predicate.is_match(wanted, c) then found[#found + 1] = line end
  end
  return found
end

-- The lines of a column of numbers that are in the ranges of a predicate.
local function lines_in(text, wanted)
  local lines, line = {}, 0
  for value in string.gmatch(text, "\n([^\n]*)") do
    local number = tonumber(value)
    for i = 3, number and #wanted or 0, 2 do
      if number >= wanted[i] and number <= wanted[i + 1] then lines[#lines + 1] = line end
    end
    line = line + 1
  end
  return lines
end

-- Those lines of a text that have a phrase.
local function phrase_lines(text, pattern, slop)
  local found, at, number = {}, 2, 0
  for _, line in ipairs(blocks.lines(text, pattern)) do
    while number < line do
      at = string.find(text, "\n", at, true) + 1
      number = number + 1
    end
    local value = string.sub(text, at, string.find(text, "\n", at, true) - 1)
    if phrases.is_in(value, pattern.words, slop) then found[#found + 1] = line end
  end
  return found
end

-- The lines of a text that match.
local function lines_of(text, wanted, pattern)
  if wanted[1] == "numbers" and pattern == wanted then return lines_in(text, wanted) end
  if wanted[1] == "phrase" then return phrase_lines(text, pattern, wanted[4]) end
  return blocks.lines(text, pattern)
end

-- The part of a text from one line to another, as a text.
local function text_between(text, from, to)
  if from == 0 and to >= BLOCK_ROWS - 1 then return text end
  local first = blocks.place(text, from)
  if not first then return "\n" end
  local last, feed = blocks.place(text, to)
  return string.sub(text, first - 1, last and feed or #text)
end

-- Those of some lines of which a column's value matches a pattern.
local function select_by_column(s, block, wanted, lines)
  local name, pattern = column_of(wanted)
  local column = block.columns[name]
  local hits = lines_of(text_between(column.text, block.from, block.to), wanted, pattern)
  for i, line in ipairs(block.from > 0 and hits or {}) do hits[i] = line + block.from end
  local found = common(hits, lines)
  if not column.long then return found end
  for _, line in ipairs(common(column.long, lines)) do
    local value = columns.long_value(s.p, name, BLOCK_ROWS * block.number + line)
    if #lines_of("\n" .. value .. "\n", wanted, pattern) > 0 then found[#found + 1] = line end
  end
  table.sort(found)
  return found
end

-- Those of some lines that match. All lists of lines are ascending.
function select_lines(s, block, wanted, lines)
  local kind = wanted[1]
  if kind == "and" then return select_all(s, block, wanted, lines) end
  if kind == "or" then return select_any(s, block, wanted, lines) end
  if kind == "not" then return without(lines, select_lines(s, block, wanted[2], lines)) end
  return (column_of(wanted) and select_by_column or select_by_hash)(s, block, wanted, lines)
end

-- The number of matches in a whole block, if that can be told without the lines; else nil.
local function count_all(block, wanted)
  local is_negated = wanted[1] == "not"
  if is_negated then wanted = wanted[2] end
  local name, pattern = column_of(wanted)
  if not name or block.has_long then return nil end
  local text = block.columns[name].text
  local is_pattern = pattern ~= wanted and wanted[1] ~= "phrase"
  local count = is_pattern and blocks.count(text, pattern) or #lines_of(text, wanted, pattern)
  return is_negated and block.rows - count or count
end

-- Adds conversations to the newest matches.
local function add_to_top(s, block, lines)
  if #lines == 0 or s.complete == "none" then return end
  block.times = block.times or columns.block(s.p, schema.COLUMNS.lm, block.number) or "\n"
  for _, line in ipairs(lines) do
    if s.complete == "none" then return end
    local id = id_of(s, block, line)
    local at = columns.number_in(block.times, line) or access.try("HGET", keys.conversation(s.p, id), "lm")
    if at and at ~= "" then known.add_match(s, id, at, BLOCK_ROWS * block.number + line) end
  end
end

-- The length of the long values in a line.
local function long_bytes(s, block, line)
  local bytes = 0
  for name, column in pairs(block.columns) do
    if column.long and #common(column.long, { line }) > 0 then
      bytes = bytes + (access.try("STRLEN", keys.long_value(s.p, name, BLOCK_ROWS * block.number + line)) or 0)
    end
  end
  return bytes
end

-- The number of rows.
local function rows_of(s)
  if not s.row_count then
    s.row_count = columns.rows(s.p)
    -- Where a conversation lost its row, or was one that the doctor removed.
    s.has_gaps = s.row_count ~= columns.size(s.p, "id")
  end
  return s.row_count
end

-- A block: its number, how many of its rows are given, and the columns that the predicate asks for.
local function load_block(s, number)
  local rows = math.min(rows_of(s) - BLOCK_ROWS * number, BLOCK_ROWS)
  local block = { number = number, rows = rows, columns = {}, hashes = {} }
  predicate.each_atom(s.predicate, function(atom)
    local name = column_of(atom)
    if name then load_column(s, block, name) end
  end)
  return block
end

-- How many lines can be looked at without a look at the clock.
local function group_size_of(s)
  local parts = 0
  predicate.each_atom(s.predicate, function() parts = parts + 1 end)
  return math.max(1, math.floor(BLOCK_ROWS * PARTS_AT_ONCE / parts))
end

-- The lines of a block from one to another in groups that can be looked at without a look at the clock: all in one,
-- unless there are long values, or the predicate has many parts.
local function groups_of(s, block, first, last)
  s.group_size = s.group_size or group_size_of(s)
  local groups, group, bytes = {}, {}, 0
  for line = first, math.min(last, block.rows - 1) do
    if not s.has_gaps or checks.is_id(id_of(s, block, line)) then group[#group + 1] = line end
    if block.has_long then bytes = bytes + long_bytes(s, block, line) end
    if bytes > LONG_AT_ONCE or #group >= s.group_size then
      groups[#groups + 1] = group
      group, bytes = {}, 0
    end
  end
  if #group > 0 then groups[#groups + 1] = group end
  return groups
end

-- Those lines of a group that match.
local function select_group(s, block, group)
  block.from, block.to = group[1], group[#group]
  return select_lines(s, block, s.predicate, group)
end

-- Counts the rows that are not counted yet. Returns whether the turn ended before the last.
function scan.count(s)
  local all = rows_of(s)
  while s.rows < all do
    local number, line = columns.place_of(s.rows)
    local block = load_block(s, number)
    local count = s.complete == "none" and line == 0 and not s.has_gaps and count_all(block, s.predicate)
    if count then
      s.matches = s.matches + count
    else
      for _, group in ipairs(groups_of(s, block, line, BLOCK_ROWS - 1)) do
        local lines = select_group(s, block, group)
        s.matches = s.matches + #lines
        add_to_top(s, block, lines)
        s.rows = BLOCK_ROWS * number + group[#group] + 1
        if turn.is_over() and s.rows < all then return true end
      end
    end
    s.rows = BLOCK_ROWS * (number + 1)
    if turn.is_over() and s.rows < all then return true end
  end
  s.rows = nil
  return false
end

-- Counts some blocks for a measurement; returns which part of all rows.
function scan.sample(s)
  known.start(s, "rows", 0)
  s.complete = "none"
  scan.count(s)
  return s.rows and s.rows / rows_of(s) or 1
end

-- Whether a filter is a pattern of a column with many values, so that the index does not help.
function scan.is_broad(s)
  local name = column_of(s.predicate)
  return name and columns.size(s.p, name) > MANY
end

-- Whether a predicate asks only for columns, so that it is faster to scan all rows than to look at many conversations.
function scan.is_fast(s) return is_in_columns(s.predicate) end

-- Finds the newest matches in the rows that have not been looked at for that, from the last one on: the newest
-- conversations are there. Returns whether the turn ended before the first row.
function scan.find_top(s)
  local complete = s.complete
  while complete.rows > 0 do
    local number, last = columns.place_of(complete.rows - 1)
    local block = load_block(s, number)
    local groups = groups_of(s, block, 0, last)
    for i = #groups, 1, -1 do
      complete.rows = BLOCK_ROWS * number + groups[i][1]
      add_to_top(s, block, select_group(s, block, groups[i]))
      if turn.is_over() and complete.rows > 0 then return true end
    end
    complete.rows = BLOCK_ROWS * number
  end
  s.complete = complete.is_more and (s.top[#s.top] or "none") or "all"
  return false
end

-- Starts to find the newest matches so.
function scan.start_top(s)
  s.top, s.complete = {}, { rows = rows_of(s), is_more = false }
end

return scan
