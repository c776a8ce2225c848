"""Calibration statistics: what data-aware methods and budgets measure on a text or a task."""
