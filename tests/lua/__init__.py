"""The service's Lua, outside Redis: a linter, and an interpreter for its modules."""
