-- Whether a text is what it should be. Nil never is.
local checks = {}

function checks.is_id(text) return text and #text == 36 and string.find(text, "^[0-9a-f%-]+$") ~= nil end

-- A whole number that can be a time: the largest that cursors hold has 15 digits.
function checks.is_time(text) return text and #text < 16 and string.find(text, "^%-?%d+$") ~= nil end

-- A whole number that can count things.
function checks.is_count(text) return text and #text < 11 and string.find(text, "^%d+$") ~= nil end

return checks
