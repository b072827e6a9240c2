"""Helpers: files, checks of arguments, terminal, progress, lazy imports."""
