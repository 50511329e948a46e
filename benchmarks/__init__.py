"""Benchmarks: each prints its figures from one run, as ratios where another machine would give other numbers."""
