"""Orders of convergence, measured."""

import torch


def order(errors, counts):
    """Minus the slope of log error over log count; of each element where the errors are tensors."""
    x = torch.tensor(counts, dtype=torch.float64).log()
    x = x - x.mean()
    y = torch.stack([torch.as_tensor(error, dtype=torch.float64) for error in errors]).abs().log()
    return -(x @ y) / x.square().sum()
