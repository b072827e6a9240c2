"""Encoders of texts, one a file; none is imported before it is asked for by name."""
