"""What a run found, for people and programs: lines, JSON, HTML, plots."""
