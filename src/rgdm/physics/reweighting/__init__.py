"""Exact answers from samples of another law: weights, telescoping sums, free energies."""
