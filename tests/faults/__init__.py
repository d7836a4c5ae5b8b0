"""Faults on purpose, measured: `make faults`. What each is asked to be stands beside what it is.

Short forms of all of them are in the tests; here they run long enough for figures.
"""
