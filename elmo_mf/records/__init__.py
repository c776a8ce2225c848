"""Runs, their records, and the store of records."""
