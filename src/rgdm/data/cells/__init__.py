"""Cells of a lattice: their edges along an axis, their corners, and the parts that they are cut into."""
