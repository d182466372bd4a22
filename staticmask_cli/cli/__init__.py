"""The terminal: options, messages, progress, exit statuses."""
