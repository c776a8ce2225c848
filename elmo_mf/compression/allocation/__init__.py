"""Allocation of ranks: which rank each matrix gets so that all of them stay within one budget."""
