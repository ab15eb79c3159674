"""The units of the data: any real numbers go in, and values that float32 cannot tell apart stay float64."""

import numpy as np
import pytest
import torch

from lift_examples import red
from rgdm.errors import InputError
from rgdm.model.cascade.units import Units
from small import cascade


def fitted(x):
    model = cascade(1, 1, 2, "periodic", width=2, evaluations=1)
    model.fit(x)
    return model.eval()


def counts(offset: float = 0.0, spread: float = 20.0) -> torch.Tensor:
    return (offset + spread * red(16, (32,)).double()).round()


CASTS = {
    "int32": torch.Tensor.int,
    "int64": torch.Tensor.long,
    "int16": torch.Tensor.short,
    "numpy": torch.Tensor.numpy,
    "big-endian": lambda x: x.numpy().astype(">i4"),
}


@pytest.mark.parametrize("cast", CASTS.values(), ids=CASTS)
def test_integers_and_arrays_are_taken_as_the_same_numbers(cast):
    x = counts()
    given, model = cast(x), fitted(x.float())
    torch.testing.assert_close(fitted(given).sample((32,), 2), model.sample((32,), 2), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(model.normalise(given).double(), model.normalise(x), rtol=1e-5, atol=1e-5)
    for a, b in zip(model.trajectory(given), model.trajectory(x), strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(model.log_prob(given, probes=None).total, model.log_prob(x).total)
    coarse = model.trajectory(x)[-1].round()
    made = torch.as_tensor(model.refine(cast(coarse)))
    torch.testing.assert_close(made.double(), model.refine(coarse), rtol=1e-4, atol=1e-2)


def test_large_integers_do_not_lose_their_last_digits():
    x = counts(1e9, 1.5)
    model = fitted(x.int())
    torch.testing.assert_close(model.normalise(x.int()), model.normalise(x))
    assert model.trajectory(x.int())[0].dtype == torch.float64


@pytest.mark.parametrize("offset", [1e9, -1e9, 1e6])
def test_values_far_from_zero_are_sampled_with_their_variation(offset):
    x = offset + red(16, (32,)).double()
    made = fitted(x).sample((32,), 8)
    assert made.dtype == torch.float64
    assert float((made - offset).std()) == pytest.approx(float(x.std()), rel=0.5)
    lost = made.float().double() - made  # what float32 would have done
    assert float(lost.std()) > 1e-3 * float(x.std())


def test_the_dtype_is_wide_only_where_it_must_be():
    units = Units(2)
    for mean, scale, expected in ((0, 1, 32), (280, 10, 32), (8000, 1, 32), (9000, 1, 64), (1e9, 2e5, 32)):
        units.mean[1], units.scale[1] = mean, scale
        assert units.dtype == getattr(torch, f"float{expected}")
    assert Units(1).denormalise(torch.zeros(1, 1, 2)).dtype == torch.float32
    assert Units(1).denormalise(torch.zeros(1, 1, 2).double()).dtype == torch.float64


def test_what_holds_no_real_numbers_is_refused():
    model = fitted(counts())
    for method in (model.fit, model.normalise, model.trajectory):
        with pytest.raises(InputError, match="complex128"):
            method(np.zeros((1, 1, 32), complex))
    with pytest.raises(InputError, match="a field of type str"):
        model.fit("a field")
    with pytest.raises(InputError, match="does not fit a model of 1 channel"):
        model.fit(np.zeros((2, 2, 32)))
