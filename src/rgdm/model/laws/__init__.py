"""The laws of standardized detail: white noise, diffusion, flow; how likely detail is under them."""
