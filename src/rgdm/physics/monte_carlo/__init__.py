"""Simulation of lattice fields."""
