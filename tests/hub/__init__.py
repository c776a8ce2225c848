"""Tests of the Hugging Face Hub, against a fake one on loopback."""
