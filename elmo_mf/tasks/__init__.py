"""Tasks: their configs, data and runs."""
