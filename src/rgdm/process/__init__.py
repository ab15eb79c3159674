"""Probability: Gaussian forward processes in closed form, and noise that knows its place."""
