"""Click logs: from files to sessions."""
