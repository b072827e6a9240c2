"""Helpers of every package: files, terminal, progress, imports that wait."""
