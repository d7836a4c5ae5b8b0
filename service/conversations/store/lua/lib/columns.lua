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
local format = require("format")
local blocks = require("blocks")

local columns = {}

local BLOCK_ROWS = 256
columns.BLOCK_ROWS = BLOCK_ROWS

-- In bytes. It bounds the time that a block takes.
local MAX_LINE = 256

-- More than any number has, with its sign.
local NUMBER_WIDTH = 16

-- In no text.
local LONG = "\255"
columns.LONG = LONG

-- The text of a block; nil if it has no values, or is damaged.
function columns.block(p, name, number)
  local key = keys.column(p, name, number)
  local text, problem = access.try("GET", key)
  if problem then access.warn(key, problem) end
  return text or nil
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

-- The value of a row; "" if it has none.
function columns.read(p, name, row)
  local text = columns.block(p, name, math.floor(row / BLOCK_ROWS))
  local value = text and line_of(text, row % BLOCK_ROWS) or ""
  return value == LONG and columns.long_value(p, name, row) or value
end

local function count_values(p, name, change)
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
  local line, key = row % BLOCK_ROWS, keys.column(p, name, math.floor(row / BLOCK_ROWS))
  local size, problem = access.try("STRLEN", key)
  if problem then
    access.warn(key, problem)
    return
  end
  local written, lines = string.format("%-16s", value), math.floor(size / (NUMBER_WIDTH + 1))
  if line < lines then
    redis.call("SETRANGE", key, 1 + (NUMBER_WIDTH + 1) * line, written)
  else
    local blank = string.rep(" ", NUMBER_WIDTH) .. "\n"
    redis.call("APPEND", key, (size == 0 and "\n" or "") .. string.rep(blank, line - lines) .. written .. "\n")
    count_values(p, name, 1)
  end
end

-- Writes the value of a row; "" removes it.
function columns.write(p, name, row, value)
  if schema.IS_NUMBER[name] then return write_number(p, name, row, value) end
  local line = row % BLOCK_ROWS
  local key = keys.column(p, name, math.floor(row / BLOCK_ROWS))
  local text, problem = access.try("GET", key)
  if problem then
    access.warn(key, problem)
    return
  end
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
  if old == "" then count_values(p, name, 1) elseif written == "" then count_values(p, name, -1) end
end

-- Gives a conversation a row; nil if the number of rows is damaged: then the doctor gives it one.
function columns.add_row(p, id)
  local rows = access.shared("HINCRBY", keys.counts(p), "rows", 1)
  if not rows then return nil end
  local row = rows - 1
  if row < 0 or columns.read(p, "id", row) ~= "" or row == 0 and columns.size(p, "id") > 0 then
    access.warn(keys.counts(p), "the number of rows is too small")
    return nil
  end
  columns.write(p, "id", row, id)
  return format.integer(row)
end

-- The number of values in a column.
function columns.size(p, name) return tonumber(access.shared("HGET", keys.columns(p), name) or "0") or 0 end

-- The number of rows.
function columns.rows(p) return tonumber(access.shared("HGET", keys.counts(p), "rows") or "0") or 0 end

return columns
