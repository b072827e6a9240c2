"""The runs behind the results: what makes them, keeps them, and writes their tables."""
