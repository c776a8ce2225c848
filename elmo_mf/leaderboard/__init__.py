"""Tables made from stored results; nothing here runs a model."""
