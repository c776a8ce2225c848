"""A text file to a file of ELMo vectors."""
