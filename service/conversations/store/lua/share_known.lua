-- Shares what a worker found out about a filter with the others, for some minutes.
--
-- ARGV: the filter's name, text as in lib/known.lua
-- Returns: {"ok"}
local keys = require("keys")
local access = require("access")
local register = require("register")

local SECONDS = 600

register.writing("share_known", function(p, argv)
  access.try("SET", keys.known(p, argv[1]), argv[2], "EX", SECONDS)
  return { "ok" }
end)
