-- Checks of texts, which nil fails, and the number in an id.
local checks = {}

function checks.is_id(text) return text and #text == 36 and string.find(text, "^[0-9a-f%-]+$") ~= nil end

-- Whether it is an integer that can be a time: cursors hold up to 15 digits.
function checks.is_time(text) return text and #text < 16 and string.find(text, "^%-?%d+$") ~= nil end

-- Whether it is an integer that can be a count.
function checks.is_count(text) return text and #text < 11 and string.find(text, "^%d+$") ~= nil end

-- The first 48 bits of an id as a number.
function checks.id_start(id) return tonumber(string.sub(id, 1, 8) .. string.sub(id, 10, 13), 16) end

return checks
