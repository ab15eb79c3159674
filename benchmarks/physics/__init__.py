"""Lattice fields with a known action: observables, exponents, likelihoods."""
