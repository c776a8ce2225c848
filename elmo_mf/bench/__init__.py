"""Benchmark the encoder against AllenNLP's and against the limits of the machine."""
