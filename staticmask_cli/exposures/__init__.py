"""From file names to exposures, chips, pixels and DQ flags; read-only."""
