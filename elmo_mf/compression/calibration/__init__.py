"""Calibration statistics: what a data-aware method knows of a matrix."""
