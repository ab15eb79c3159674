"""Whether what is stored can be a model: its metadata, its numbers, its size."""
