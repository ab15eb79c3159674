"""The chains and networks of the tests are too small for threads, which would wait for each other."""

import torch

from rgdm.physics.monte_carlo import kernels

if kernels.COMPILED:
    import numba

    numba.set_num_threads(1)  # this sets the number of OpenMP threads, which is also that of torch
torch.set_num_threads(1)
