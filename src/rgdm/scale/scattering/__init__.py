"""Wavelet scattering: what textures look like, as numbers."""
