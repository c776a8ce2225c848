"""Tests of experiment trackers."""
