"""Benchmarks, one question per file; each prints a table and writes JSON."""
