"""The laws of detail given its coarse field: what is standardized, what is learned, how likely it is."""
