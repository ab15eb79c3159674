"""The networks inside a denoiser."""
