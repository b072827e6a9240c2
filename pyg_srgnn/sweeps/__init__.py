"""Many runs by one command: where they go, who works there, what goes on after a kill."""
