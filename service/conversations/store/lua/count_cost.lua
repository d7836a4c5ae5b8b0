-- Measures how long it takes to count the matches of a filter of which nothing is known.
--
-- ARGV: as in request.lua
-- Returns: {"ok", "ms", milliseconds of processor time, from a sample if it is more than a turn}
local register = require("register")
local request = require("request")
local turn = require("turn")
local scan = require("scan")
local slices = require("slices")

register.reading("count_cost", function(p, argv)
  local _, s = request.read(p, argv, true)
  if not s.all then return { "ok", "ms", "0" } end
  local began = turn.now()
  local part = s.is_exact and slices.sample(s) or scan.sample(s)
  return { "ok", "ms", string.format("%.3f", (turn.now() - began) * 1000 / part) }
end)
