"""Tests of `elmo_mf.storage`."""
