"""The laptop stack of `conversations up`: engines, embedded Redis, Envoy, workers, demo data."""
