-- Columns: the words of a field, of all conversations. Patterns are searched in them.
--
-- A conversation with messages has a row, a number from 0; `rows` in the hash of counts is the number of rows given. A
-- column is cut into blocks of text, see blocks.lua, with one line for each of BLOCK_ROWS rows: the words of the field
-- in lower case, separated by blanks. The ids are a column too. A block without a value is absent, and so is the end of
-- a block after its last value. A longer value than MAX_LINE has a key of its own, and LONG in its line.
--
-- Numbers have NUMBER_WIDTH characters, so that a line is found without the ones before it.
--
-- A changed value takes the place of the old one, with blanks behind it if it is shorter. The hash `columns` has the
-- number of values in each column.
local schema = require("schema")
local keys = require("keys")
local access = require("access")
local checks = require("checks")
local format = require("format")
local blocks = require("blocks")

local columns = {}

local BLOCK_ROWS = 256
columns.BLOCK_ROWS = BLOCK_ROWS

-- In bytes. It bounds the time that a block takes.
local MAX_LINE = 256

-- More than any number has, with its sign.
local NUMBER_WIDTH = 16
columns.NUMBER_WIDTH = NUMBER_WIDTH

-- In no text.
local LONG = "\255"
columns.LONG = LONG

-- Of an id, with the line feed before it: all lines of that column have it.
local ID_LENGTH = 37
columns.ID_LENGTH = ID_LENGTH

-- The number of the block in which a row is, and its line there.
function columns.place_of(row) return math.floor(row / BLOCK_ROWS), row % BLOCK_ROWS end

local place_of = columns.place_of

-- The text of a block; nil if it has no values, or is damaged; and whether it is damaged.
function columns.block(p, name, number)
  local key = keys.column(p, name, number)
  local text, problem = access.try("GET", key)
  if text and not (string.byte(text, 1) == 10 and string.byte(text, -1) == 10) then
    text, problem = nil, "it has no line feeds at its ends"
  end
  if problem then access.warn(key, problem) end
  return text or nil, problem ~= nil
end

-- A text without the blanks at its end.
local function trimmed(text)
  if string.byte(text, -1) ~= 32 then return text end
  return (string.gsub(text, " +$", ""))
end

-- The value in a line of a block, which may be LONG.
local function line_of(text, line)
  local first, feed = blocks.place(text, line)
  return first and trimmed(string.sub(text, first, feed - 1)) or ""
end

-- The value of a row that has LONG in its line.
function columns.long_value(p, name, row) return access.shared("GET", keys.long_value(p, name, row)) or "" end

-- What stands in the line of a row: its value, LONG, or "".
function columns.line(p, name, row)
  local number, line = place_of(row)
  local text = columns.block(p, name, number)
  return text and line_of(text, line) or ""
end

-- The value of a row; "" if it has none.
function columns.read(p, name, row)
  local value = columns.line(p, name, row)
  return value == LONG and columns.long_value(p, name, row) or value
end

-- Changes the number of values in a column.
function columns.count_values(p, name, change)
  local left = access.shared("HINCRBY", keys.columns(p), name, change)
  if left and left <= 0 then access.shared("HDEL", keys.columns(p), name) end
end

-- Replaces a line of a block, from its first byte to the line feed behind it.
local function replace(key, text, first, feed, value)
  if #value > feed - first then
    local rest = value .. string.gsub(string.sub(text, feed), " +\n", "\n")
    if first - 1 + #rest >= #text then
      redis.call("SETRANGE", key, first - 1, rest)
    else
      redis.call("SET", key, string.sub(text, 1, first - 1) .. rest)
    end
  elseif value == "" and not string.find(string.sub(text, 1, first - 1) .. string.sub(text, feed), "[^ \n]") then
    redis.call("DEL", key)
  else
    redis.call("SETRANGE", key, first - 1, value .. string.rep(" ", feed - first - #value))
  end
end

-- Writes the number of a row, as text.
local function write_number(p, name, row, value)
  local number, line = place_of(row)
  local key = keys.column(p, name, number)
  local size, problem = access.try("STRLEN", key)
  if size and size > 0 and size % (NUMBER_WIDTH + 1) ~= 1 then problem = "its lines are not those of numbers" end
  if problem then
    access.warn(key, problem)
    return
  end
  local written, lines = string.format("%-" .. NUMBER_WIDTH .. "s", value), math.floor(size / (NUMBER_WIDTH + 1))
  if line < lines then
    redis.call("SETRANGE", key, 1 + (NUMBER_WIDTH + 1) * line, written)
  else
    local blank = string.rep(" ", NUMBER_WIDTH) .. "\n"
    redis.call("APPEND", key, (size == 0 and "\n" or "") .. string.rep(blank, line - lines) .. written .. "\n")
    columns.count_values(p, name, 1)
  end
end

-- The number in a line of a block of numbers, as text; nil if there is none.
function columns.number_in(text, line)
  local first = 2 + (NUMBER_WIDTH + 1) * line
  return string.match(string.sub(text, first, first + NUMBER_WIDTH - 1), "^%-?%d+")
end

-- Writes the value of a row; "" removes it.
function columns.write(p, name, row, value)
  if schema.IS_NUMBER[name] then return write_number(p, name, row, value) end
  local number, line = place_of(row)
  local key = keys.column(p, name, number)
  local text, is_damaged = columns.block(p, name, number)
  if is_damaged then return end
  local first, feed, old, written = nil, -1, "", value
  if text then first, feed = blocks.place(text, line) end
  if first then old = trimmed(string.sub(text, first, feed - 1)) end
  if #value > MAX_LINE then
    written = LONG
    redis.call("SET", keys.long_value(p, name, row), value)
  elseif old == LONG then
    redis.call("DEL", keys.long_value(p, name, row))
  end
  if written == old then return end
  if first then
    replace(key, text, first, feed, written)
  else
    -- An absent block begins with a line feed, too.
    redis.call("APPEND", key, string.rep("\n", line - feed) .. written .. "\n")
  end
  if old == "" then
    columns.count_values(p, name, 1)
  elseif written == "" then
    columns.count_values(p, name, -1)
  end
end

-- The value in a column of a field of a conversation's hash.
function columns.value_of(text) return (string.gsub(string.lower(text or ""), ",", " ")) end

-- Whether the column of ids ends with the last of so many rows.
function columns.is_end(p, rows)
  local number, last = place_of(rows - 1)
  return (rows == 0 or access.try("STRLEN", keys.column(p, "id", number)) == ID_LENGTH * (last + 1) + 1)
    and redis.call("EXISTS", keys.column(p, "id", number + 1)) == 0
end

-- The number of rows. If it is damaged, that of conversations: it is the same as a rule.
function columns.rows(p)
  local rows = access.shared("HGET", keys.counts(p), "rows") or "0"
  if checks.is_count(rows) and columns.is_end(p, tonumber(rows)) then return tonumber(rows) end
  access.warn(keys.counts(p), "the number of rows is wrong")
  return access.shared("ZCARD", keys.recent(p)) or 0
end

-- Gives a conversation a row; nil if the number of rows or their last block is damaged: then the doctor gives it one.
function columns.add_row(p, id)
  local counts = keys.counts(p)
  local rows = access.shared("HGET", counts, "rows") or "0"
  local row = checks.is_count(rows) and tonumber(rows) or 0
  local number, line = place_of(row)
  local text, is_damaged = columns.block(p, "id", number)
  if not checks.is_count(rows) or is_damaged or #(text or "\n") ~= ID_LENGTH * line + 1
    or line == 0 and number > 0 and redis.call("EXISTS", keys.column(p, "id", number - 1)) == 0 then
    access.warn(counts, "the number of rows is wrong")
    return nil
  end
  if not access.shared("HINCRBY", counts, "rows", 1) then return nil end
  columns.write(p, "id", row, id)
  return format.integer(row)
end

-- Gives a conversation a row that is its own or nobody's, if there is one; returns whether it is.
function columns.take_row(p, row, id)
  if not checks.is_count(row) or tonumber(row) >= columns.rows(p) then return false end
  local owner = columns.read(p, "id", tonumber(row))
  if owner == id then return true end
  local number, line = place_of(tonumber(row))
  local text, is_damaged = columns.block(p, "id", number)
  if owner ~= "" or is_damaged then return false end
  text = text or "\n"
  text = text .. string.rep(string.rep(" ", ID_LENGTH - 1) .. "\n", line + 1 - (#text - 1) / ID_LENGTH)
  local first = ID_LENGTH * line + 2
  redis.call("SET", keys.column(p, "id", number), string.sub(text, 1, first - 1) .. id .. string.sub(text, first + 36))
  columns.count_values(p, "id", 1)
  return true
end

-- Whether a text is the row of a conversation.
function columns.is_row_of(p, row, id)
  if not checks.is_count(row) or format.integer(tonumber(row)) ~= row then return false end
  local number, line = place_of(tonumber(row))
  local first = ID_LENGTH * line + 1
  return access.try("GETRANGE", keys.column(p, "id", number), first, first + 35) == id
end

-- The number of values in a column.
function columns.size(p, name) return tonumber(access.shared("HGET", keys.columns(p), name) or "0") or 0 end

return columns
