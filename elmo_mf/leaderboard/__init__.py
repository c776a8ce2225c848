"""Leaderboards of stored results, built without running a model."""
