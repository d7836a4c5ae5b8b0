-- Checks columns, block by block: see lib/columns.lua. What a value should be is checked with its conversation.
local schema = require("schema")
local keys = require("keys")
local access = require("access")
local checks = require("checks")
local format = require("format")
local columns = require("columns")
local changes = require("changes")
local turn = require("turn")
local register = require("register")
local doctor = require("doctor")

local BLOCK_ROWS, ID_LENGTH, LONG = columns.BLOCK_ROWS, columns.ID_LENGTH, columns.LONG

-- How long each line of a column is; nil if they differ.
local function width_of(name)
  if name == "id" then return ID_LENGTH - 1 end
  return schema.IS_NUMBER[name] and columns.NUMBER_WIDTH
end

-- The lines of a block, without blanks at their ends; nil if it cannot be a block of the column.
local function lines_of(name, text)
  if string.byte(text, 1) ~= 10 or string.byte(text, -1) ~= 10 then return nil end
  local lines, width = {}, width_of(name)
  for line in string.gmatch(string.sub(text, 2), "([^\n]*)\n") do
    local value = string.gsub(line, " +$", "")
    if width and #line ~= width or name == "id" and value ~= "" and not checks.is_id(value) then return nil end
    lines[#lines + 1] = value
    if #lines > BLOCK_ROWS then return nil end
  end
  return #lines > 0 and lines or nil
end

-- The lines of a block that may be damaged.
local function read_lines(p, name, number)
  local text = access.try("GET", keys.column(p, name, number))
  return text and lines_of(name, text) or {}
end

-- Whether a conversation has another row than one in which its id stands.
local function has_other_row(p, id, row)
  local own = access.try("HGET", keys.conversation(p, id), "row")
  return own and own ~= format.integer(row) and columns.is_row_of(p, own, id)
end

-- Whether a block can be read. ARGV: column, number of the block.
-- Returns: {"type"} or {"text"} if it cannot, then it is set aside; else {"ok"}, and of the column of ids then row and
--          id of each line that no conversation claims and that is not the second one of a conversation.
doctor.both("block", function(p, argv, repairs)
  local name, number = argv[1], tonumber(argv[2])
  local key = keys.column(p, name, number)
  if doctor.has_wrong_type(p, key, "string", repairs) then
    if repairs then changes.log_lost(p, "") end
    return { "type" }
  end
  local text = redis.call("GET", key)
  local lines = text and lines_of(name, text)
  if text and not lines then
    if repairs then
      doctor.set_key_aside(p, key)
      changes.log_lost(p, "")
    end
    return { "text" }
  end
  local found = { "ok" }
  for line, id in ipairs(name == "id" and lines or {}) do
    local row = BLOCK_ROWS * number + line - 1
    local own = access.try("HGET", keys.conversation(p, id), "row")
    if id ~= "" and own ~= format.integer(row) and not has_other_row(p, id, row) then
      found[#found + 1], found[#found + 2] = format.integer(row), id
    end
  end
  return found
end)

-- Sets the number of rows to the end of the column of ids, of which a block is known.
local function count_rows(p, number)
  while redis.call("EXISTS", keys.column(p, "id", number + 1)) == 1 do number = number + 1 end
  while number >= 0 and redis.call("EXISTS", keys.column(p, "id", number)) == 0 do number = number - 1 end
  local rows = number < 0 and 0 or BLOCK_ROWS * number + #read_lines(p, "id", number)
  return format.integer(rows)
end

-- The last of some blocks, the highest first, in which a conversation has a row, unless it has another one; -1 if none.
local function last_block(p, numbers)
  for _, text in ipairs(numbers) do
    local number = tonumber(text)
    for line, id in ipairs(read_lines(p, "id", number)) do
      if id ~= "" and not has_other_row(p, id, BLOCK_ROWS * number + line - 1) then return number end
    end
  end
  return -1
end

-- Whether the number of rows is the end of the column of ids. ARGV: the numbers of that column's blocks, the highest
-- first. Returns: {}, or {stored number, actual number}.
doctor.both("rows", function(p, numbers, repairs)
  local stored = access.try("HGET", keys.counts(p), "rows") or ""
  local rows = checks.is_count(stored) and tonumber(stored) or stored == "" and 0
  if rows and (stored == "" or format.integer(rows) == stored) and columns.is_end(p, rows) then return {} end
  local actual = count_rows(p, last_block(p, numbers))
  if actual == stored then return {} end
  if repairs then
    redis.call("HSET", keys.counts(p), "rows", actual)
    changes.log_lost(p, "")
  end
  return { stored, actual }
end)

-- Whether the conversation whose id stands in a row may have a value there. `term`: an index term of conversations
-- with a value, or "". One that lost its row, but not its messages, gets it again.
local function may_have(p, id, row, term)
  local stored = access.try("HMGET", keys.conversation(p, id), "row", "x") or {}
  if stored[1] ~= format.integer(row) then
    return not has_other_row(p, id, row) and redis.call("EXISTS", keys.order(p, id)) == 1
  end
  -- Terms of metadata are neither the first nor the last.
  return term == "" or string.find(stored[2] or "", " " .. term .. " ", 1, true) ~= nil
end

-- Writes a block anew, without the values of some lines, by number, and without lines behind its last value.
local function remove(p, name, number, lines, strays)
  local key, kept, last, width = keys.column(p, name, number), {}, 0, width_of(name) or 0
  for line, value in ipairs(lines) do
    if strays[line] then
      if value == LONG then redis.call("DEL", keys.long_value(p, name, BLOCK_ROWS * number + line - 1)) end
      value = ""
    end
    if value ~= "" then last = line end
    kept[line] = value .. string.rep(" ", width - #value)
  end
  if last == 0 then
    redis.call("DEL", key)
  else
    redis.call("SET", key, "\n" .. table.concat(kept, "\n", 1, last) .. "\n")
  end
  local rows = name == "id" and access.try("HGET", keys.counts(p), "rows")
  if checks.is_count(rows or nil) and columns.place_of(tonumber(rows) - 1) == number then
    redis.call("HSET", keys.counts(p), "rows", count_rows(p, number))
  end
end

-- Whether the values of a block belong to conversations that have one. Others are removed.
--
-- ARGV: column, number of the block, index term of the conversations that have a value, or "" for all, and the line to
--       begin with, from 0
-- Returns: {the stored number of values in the column, the number in these lines, the line to go on from, or "" at the
--          end, then of each value that does not belong there the id in its row, or ""}.
doctor.both("values", function(p, argv, repairs)
  turn.begin()
  local name, number, term, next_line = argv[1], tonumber(argv[2]), argv[3], ""
  local lines, ids = read_lines(p, name, number), read_lines(p, "id", number)
  -- A block of ids that cannot be read is found by itself.
  local are_known = #ids > 0 or redis.call("EXISTS", keys.column(p, "id", number)) == 0
  local stored_count = access.try("HGET", keys.columns(p), name) or ""
  local count, strays, ids_of_strays = 0, {}, {}
  for line = tonumber(argv[4]) + 1, #lines do
    local row, id = BLOCK_ROWS * number + line - 1, ids[line] or ""
    if lines[line] ~= "" then
      count = count + 1
      if are_known and not (id ~= "" and may_have(p, id, row, term)) then
        strays[line], ids_of_strays[#ids_of_strays + 1] = true, id
      end
    end
    if turn.is_over() and line < #lines then
      next_line = format.integer(line)
      break
    end
  end
  if repairs and #ids_of_strays > 0 then
    remove(p, name, number, lines, strays)
    columns.count_values(p, name, -#ids_of_strays)
    changes.log_lost(p, "")
  end
  return { stored_count, format.integer(count), next_line, unpack(ids_of_strays) }
end)

-- Corrects the number of values in a column, unless it has changed. ARGV: column, stored number, actual number.
-- Returns: {"ok"} or {"conflict"}.
register.writing("repair_size", function(p, argv)
  local name, stored, actual = argv[1], argv[2], argv[3]
  if (access.try("HGET", keys.columns(p), name) or "") ~= stored then return { "conflict" } end
  if actual == "0" then
    redis.call("HDEL", keys.columns(p), name)
  else
    redis.call("HSET", keys.columns(p), name, actual)
  end
  return { "ok" }
end)

-- The number of rows. Returns: it, in a list.
register.reading("read_rows", function(p) return { format.integer(columns.rows(p)) } end)

-- The names of columns of which the number of values is stored. Returns: as HKEYS.
register.reading("read_columns", function(p) return access.try("HKEYS", keys.columns(p)) or {} end)

-- Whether a long value belongs to a line of its column. ARGV: column, row. Returns: {}; {"type"} if it has the wrong
-- type, then it is set aside; {"stray"} if no line refers to it, then it is removed.
doctor.both("long_value", function(p, argv, repairs)
  local name, row = argv[1], tonumber(argv[2])
  local key = keys.long_value(p, name, row)
  if doctor.has_wrong_type(p, key, "string", repairs) then return { "type" } end
  local number, line = columns.place_of(row)
  if read_lines(p, name, number)[line + 1] == LONG or redis.call("EXISTS", key) == 0 then return {} end
  if repairs then redis.call("DEL", key) end
  return { "stray" }
end)
