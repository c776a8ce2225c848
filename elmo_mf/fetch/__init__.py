"""Download published weights and data: a catalogue of URLs, resumable and verified downloads, and archives."""
