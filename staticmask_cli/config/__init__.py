"""Defaults, file, environment and flags, merged into settings."""
