"""Fault injection, measured: `make faults`. Each figure is shown with its target.

Short forms of all of them are in the tests; here they run long enough for figures.
"""
