"""One run, from settings to masks on disk."""
