"""Tests of `elmo_mf.io`."""
