"""The ways back from noise to data."""
