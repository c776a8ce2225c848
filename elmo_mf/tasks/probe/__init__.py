"""Probes: logistic regression on an encoder's frozen vectors, without seeds and without a task's model."""
