"""Files of any kind, written whole or not at all, and the lock of a folder."""
