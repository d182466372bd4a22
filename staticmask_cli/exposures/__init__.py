"""From names to files, chips, pixels and DQ flags; nothing here writes."""
