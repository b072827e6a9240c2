"""The console scripts, one a file: a configuration in, one call, files out."""
