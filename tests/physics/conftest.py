"""Chains of the tests are too small for threads, which would wait for each other on a busy machine."""

from rgdm.physics.monte_carlo import kernels

if kernels.COMPILED:
    import numba

    numba.set_num_threads(1)
