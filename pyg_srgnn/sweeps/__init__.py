"""Many runs by one command: their directories, their share of the cores, searches, and the end."""
