"""What is kept of a field on what is made of it, and what is written there: encodings, cell methods, provenance."""
