"""Geometry: exactly invertible coarse-grainings and the orthonormal bases they make."""
