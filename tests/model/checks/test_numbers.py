"""Numbers of a stored model: finite and as large as they can be, or one sentence that names the tensor."""

import math

import pytest
import torch
from torch import nn

from rgdm.errors import InputError
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.checks.numbers import BOUNDS, check_numbers
from small import cascade


def fitted(**options) -> Cascade:
    model = cascade(levels=2, width=3, **options)
    model.fit(walks(model))
    return model


def walks(model: Cascade) -> torch.Tensor:
    """Fields that a model can be measured on."""
    x = torch.randn(4, model.channels, *(16,) * model.dimension, dtype=torch.float64).cumsum(-1)
    return x.clamp(min=0) if model.design.positive else x


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"channels": 3},
        {"sweep": True},
        {"lift": "flow"},
        {"scattering": 1},
        {"dimension": 1},
        {"positive": True},
    ],
)
def test_what_a_model_measures_is_possible_in_any_unit(options):
    for unit in (1e-20, 1.0, 1e20):
        model = cascade(levels=2, width=3, **options)
        model.fit(unit * walks(model))
        for name, tensor in model.state():
            check_numbers("file", name, tensor, tensor)


def test_every_bound_is_of_a_tensor_that_a_model_has():
    models = fitted(sweep=True), fitted(positive=True)
    beside = Cascade(models[0].design, models[0].grid, companions=1, clock=("year",))
    names = [name for model in (*models, beside) for name, _ in model.state()]
    assert [end for end in BOUNDS if not any(name.endswith(end) for name in names)] == []


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_named_in_every_tensor(bad):
    for name, tensor in fitted().state():
        value = tensor.detach().clone()
        value.view(-1)[-1] = bad
        if name.endswith("limit") and bad == math.inf:
            continue  # nothing was measured
        with pytest.raises(InputError, match=f"file is damaged: '{name}' has values"):
            check_numbers("file", name, value, tensor)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("units.scale", 0.0),
        ("units.scale", -1.0),
        ("lifts.0.temperature", 0.0),
        ("lifts.0.temperature", 11.0),
        ("lifts.0.standardizer.amplitude.gamma", 1.5),
        ("lifts.0.standardizer.amplitude.rise", 60.0),
        ("lifts.1.standardizer.amplitude.band", 0.0),
        ("lifts.1.standardizer.tail", 99.0),
        ("lifts.1.standardizer.limit", -1.0),
        ("lifts.0.condition.scale", 0.0),
        ("lifts.0.law.denoiser.backbone.exit.weight", 1e10),
    ],
)
def test_a_number_that_is_absurd_is_named(name, value):
    own = dict(fitted().state())[name]
    with pytest.raises(InputError, match=f"'{name}' has values from .* are possible"):
        check_numbers("file", name, torch.full_like(own, value), own)


@pytest.mark.parametrize("name", ["none", "all"])
def test_masses_of_shares_are_probabilities(name):
    name = f"lifts.0.standardizer.laws.1.{name}"
    own = dict(fitted(positive=True).state())[name]
    with pytest.raises(InputError, match=f"'{name}' has values from .* are possible"):
        check_numbers("file", name, torch.full_like(own, 1.5), own)


@pytest.mark.parametrize("name", ["base.marginal", "lifts.0.standardizer.laws.0.table"])
def test_tables_rise(name):
    own = dict(fitted(positive=True).state())[name]
    with pytest.raises(InputError, match="do not rise"):
        check_numbers("file", name, own.flip(-1), own)


@pytest.mark.parametrize("change", [(0, 0, -1.0), (0, 1, 1e9)])
def test_cross_spectra_are_covariances(change):
    row, column, value = change
    own = dict(fitted(channels=2).state())["base.spectrum"]
    check_numbers("file", "base.spectrum", own, own)
    wrong = own.clone()
    wrong[row, column] = wrong[column, row] = value
    with pytest.raises(InputError, match="are no covariances"):
        check_numbers("file", "base.spectrum", wrong, own)


def test_values_of_another_kind_are_refused():
    weight = nn.Parameter(torch.zeros(3))
    for kind in (torch.int64, torch.bool, torch.complex64):
        with pytest.raises(InputError, match="does not fit its configuration"):
            check_numbers("file", "weight", torch.zeros(3, dtype=kind), weight)
