"""Fields in and out: files and xarray objects to normalised tensors and back; reference data."""
