"""Cascades: coarse fields are kept exactly, seeds mean fields, and the Gaussian part is right before any training."""

import numpy as np
import pytest
import torch
import xarray as xr

from rgdm.evaluate import octave_power
from rgdm.model.cascade import memory
from rgdm.model.cascade.cascade import Cascade
from rgdm.process.noise import NoiseField
from small import cascade

LATTICES = {1: (48,), 2: (16, 24), 3: (8, 8, 16)}
OPERATORS = ["block-spin", "haar", "db2", "momentum-shell", "decimation"]
BLOCKWISE = {"block-spin", "haar", "decimation"}


def red(count: int, channels: int, lattice: tuple[int, ...], slope: float = 3.0) -> torch.Tensor:
    """Periodic Gaussian fields with S(k) ~ (k^2 + k_0^2)^(-slope/2), of variance about 1, float64."""
    axes = tuple(range(2, 2 + len(lattice)))
    grids = torch.meshgrid(*(torch.fft.fftfreq(n, dtype=torch.float64) for n in lattice), indexing="ij")
    gain = (sum(k.square() for k in grids) + 0.05**2) ** (-slope / 4)
    gain = gain / gain.square().mean().sqrt()
    noise = torch.randn(count, channels, *lattice, dtype=torch.float64)
    return torch.fft.ifftn(torch.fft.fftn(noise, dim=axes) * gain, dim=axes).real


def fitted(x: torch.Tensor, levels: int = 2, learned: bool = False, **options) -> Cascade:
    """A tiny cascade, measured on x; ``learned`` gives the networks weights that do something."""
    small = {"width": 4, "encoder_blocks": 1, "decoder_blocks": 1}
    model = cascade(x.shape[1], x.dim() - 2, levels, **{**small, **options})
    model.fit(x)
    if learned:
        for weight in model.parameters():
            torch.nn.init.normal_(weight, std=0.1)
    return model.eval()


def flat(x: torch.Tensor) -> torch.Tensor:
    return x.movedim(1, 0).flatten(1)


# --- the coarse field is kept ------------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.parametrize("dimension", LATTICES)
@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_a_refined_field_has_the_coarse_field_it_was_given(operator, boundary, dimension):
    channels = 3 if dimension < 3 else 1
    x = red(4, channels, LATTICES[dimension])
    model = fitted(x, learned=True, operator=operator, boundary=boundary, shared=dimension == 2)
    coarse = model.trajectory(x[:2])[-1]
    for levels in (1, 2):
        fine = model.refine(coarse, levels)[0]
        assert fine.dtype == torch.float64
        assert fine.shape[2:] == tuple(2**levels * n for n in coarse.shape[2:])
        error = (model.trajectory(fine, levels)[-1] - coarse).abs().max() / coarse.std()
        assert error < 1e-12
        single = model.refine(coarse.float(), levels)[0]
        assert single.dtype == torch.float32
        error = (model.trajectory(single.double(), levels)[-1] - coarse.float()).abs().max() / coarse.std()
        assert error < 5e-6


@pytest.mark.integration
@pytest.mark.parametrize("operator", OPERATORS)
def test_the_coarse_field_is_kept_though_values_are_large_beside_their_variation(operator):
    x = 288 + red(4, 1, (16, 24))
    model = fitted(x, learned=True, operator=operator, boundary="periodic")
    for levels in (1, 2):
        coarse = model.trajectory(x, levels)[-1].float()
        fine = model.refine(coarse, levels)[0]
        error = (model.trajectory(fine.double(), levels)[-1] - coarse).abs().max() / coarse.std()
        # Where a coarse value depends on more than its block, the rounding of the fine values stays.
        assert error < (5e-6 if operator in BLOCKWISE else 2**-24 * 288 * 2)
        wide = model.refine(coarse.double(), levels)[0]
        assert (model.trajectory(wide, levels)[-1] - coarse).abs().max() / coarse.std() < 1e-12


def test_any_factor_is_kept_to_by_the_block_mean_in_plain_numpy():
    x = red(4, 1, (27, 36))
    model = fitted(x, factor=3, learned=True, boundary="reflect")
    coarse = np.random.default_rng(0).normal(1e3, 1e2, (5, 7))
    fine = model.refine(coarse, members=3)
    assert fine.shape == (3, 45, 63)
    means = fine.reshape(3, 5, 9, 7, 9).mean((2, 4))
    np.testing.assert_allclose(means, np.broadcast_to(coarse, means.shape), atol=1e-10)


@pytest.mark.integration
def test_an_untrained_cascade_of_a_constant_coarse_field_gives_finite_detail_around_it():
    model = fitted(red(4, 1, (16, 24)))
    fine = model.refine(torch.full((4, 4), 7.0))
    assert fine.isfinite().all()
    torch.testing.assert_close(fine.mean(), torch.tensor(7.0), rtol=1e-5, atol=0)


# --- seeds -------------------------------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_a_member_is_the_same_whatever_the_number_of_members(boundary):
    x = red(4, 2, (16, 24))
    model = fitted(x, learned=True, boundary=boundary)
    coarse = model.trajectory(x[:2])[-1]
    many = model.refine(coarse, members=8, seed=5)
    few = model.refine(coarse, members=2, seed=5)
    torch.testing.assert_close(many[:2], few, rtol=1e-5, atol=1e-5)
    alone = model.refine(coarse[:1], members=2, seed=5)
    torch.testing.assert_close(many[:2, :1], alone, rtol=1e-5, atol=1e-5)
    assert torch.equal(model.refine(coarse, members=8, seed=5), many)
    torch.testing.assert_close(model.sample((16, 24), 5, seed=3)[:2], model.sample((16, 24), 2, seed=3))


@pytest.mark.integration
def test_fields_too_large_to_be_made_together_are_the_same_bits_whatever_their_number(monkeypatch):
    monkeypatch.setattr(memory, "TOGETHER", 16 * 24)
    model = fitted(red(4, 1, (16, 24)), learned=True)
    assert torch.equal(model.sample((16, 24), 3, seed=1)[:1], model.sample((16, 24), 1, seed=1))
    coarse = torch.randn(2, 1, 4, 6)
    assert torch.equal(model.refine(coarse, members=3)[:2], model.refine(coarse, members=2))


@pytest.mark.integration
def test_other_seeds_members_and_samples_are_other_fields():
    model = fitted(red(4, 1, (16, 24)))
    coarse = torch.zeros(2, 1, 4, 6)
    members = torch.cat([model.refine(coarse, members=3, seed=seed).flatten(0, 1) for seed in (0, 1)])
    samples = torch.cat([model.sample((16, 24), 3, seed=seed) for seed in (0, 1)])
    for fields in (members, samples):
        correlation = torch.corrcoef(fields.flatten(1) - fields.mean((1, 2, 3))[:, None])
        assert (correlation - torch.eye(len(fields))).abs().max() < 0.6
        assert torch.unique(fields.flatten(1), dim=0).shape[0] == len(fields)


@pytest.mark.integration
def test_the_random_state_of_torch_is_left_alone():
    model = fitted(red(4, 1, (16, 24)))
    before = torch.random.get_rng_state()
    model.sample((16, 24))
    model.refine(torch.zeros(4, 6))
    assert torch.equal(torch.random.get_rng_state(), before)


# --- translation and size ----------------------------------------------------------------------


class Moved(NoiseField):
    """Noise on a torus, moved along by ``shift`` sites of the coarsest lattice."""

    def __init__(self, seed: int, purpose: str, shift: tuple[int, ...], levels: int) -> None:
        super().__init__(seed, purpose)
        self.shift, self.levels = shift, levels

    def window(self, stream, draw, channels, window):
        by = [s * 2 ** (self.levels - 1 - window.level) for s in self.shift]
        return super().window(stream, draw, channels, window).roll(by, tuple(range(1, len(by) + 1)))


@pytest.mark.integration
@pytest.mark.parametrize("operator", OPERATORS)
def test_moving_coarse_field_and_noise_by_a_site_moves_the_fine_field_by_a_block(operator, monkeypatch):
    x = red(4, 1, (16, 24))
    model = fitted(x, learned=True, operator=operator, boundary="periodic")
    coarse, shift = model.trajectory(x[:1])[-1], (1, -2)
    fine = model.refine(coarse)
    monkeypatch.setattr(
        "rgdm.model.cascade.generation.NoiseField", lambda seed, purpose: Moved(seed, purpose, shift, 2)
    )
    moved = model.refine(coarse.roll(shift, (2, 3)))
    torch.testing.assert_close(moved, fine.roll([4 * s for s in shift], (3, 4)), rtol=0, atol=2e-5)


@pytest.mark.integration
@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_fields_larger_than_those_of_the_training_have_the_same_variance(boundary):
    x = red(16, 1, (16, 24))
    model = fitted(x, boundary=boundary)
    large = model.sample((64, 96), 8)
    assert large.shape == (8, 1, 64, 96)
    assert abs(float(large.std() / x.std()) - 1) < 0.15


# --- the Gaussian part -------------------------------------------------------------------------


@pytest.mark.integration
def test_an_untrained_cascade_has_the_two_point_function_of_gaussian_data_and_of_no_others():
    x = red(512, 1, (32, 32))
    samples, right, wrong = (
        octave_power(fields, "periodic")[1].mean(0)
        for fields in (fitted(x, boundary="periodic").sample((32, 32), 512), x, red(512, 1, (32, 32), 2.5))
    )
    assert (samples / right - 1).abs().max() < 0.1
    assert (samples / wrong - 1).abs().max() > 0.2


@pytest.mark.integration
def test_untrained_detail_of_gaussian_data_is_calibrated():
    x = red(64, 1, (32, 32))
    model = fitted(x, boundary="periodic")
    truth = red(32, 1, (32, 32))
    members = model.refine(model.trajectory(truth)[-1], members=8)
    spread = (members.var(0).mean() * 9 / 8).sqrt()
    error = (members.mean(0) - truth).square().mean().sqrt()
    assert abs(float(spread / error) - 1) < 0.06


# --- xarray ------------------------------------------------------------------------------------


def test_an_xarray_field_comes_back_refined_with_coordinates_whose_block_means_are_the_coarse_ones():
    model = fitted(red(4, 1, (16, 24)))
    coarse = xr.DataArray(
        np.random.default_rng(0).standard_normal((2, 4, 6)),
        dims=("time", "lat", "lon"),
        coords={"time": [10, 20], "lat": np.linspace(60, 30, 4), "lon": np.linspace(0, 50, 6), "station": "X"},
        attrs={"units": "m"},
        name="height",
    )
    fine = model.refine(coarse, members=3)
    assert fine.dims == ("member", "time", "lat", "lon") and fine.sizes["lat"] == 16
    assert fine.attrs.items() >= coarse.attrs.items() and fine.name == "height" and fine["station"] == "X"
    again = fine.coarsen(lat=4, lon=4).mean()
    for name in ("lat", "lon"):
        np.testing.assert_allclose(again[name], coarse[name], atol=1e-12)
    np.testing.assert_allclose(again.values, np.broadcast_to(coarse.values, again.shape), atol=1e-12)


def test_the_variables_of_a_dataset_are_channels():
    model = fitted(red(4, 2, (16, 24)))
    coarse = xr.Dataset({name: (("y", "x"), np.zeros((4, 6), "f4")) for name in ("u", "v")})
    fine = model.refine(coarse, levels=1)
    assert isinstance(fine, xr.Dataset) and list(fine) == ["u", "v"]
    assert fine["u"].dims == ("member", "y", "x") and fine["u"].shape == (1, 8, 12)
    assert not np.allclose(fine["u"], fine["v"])


# --- what cannot be ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"channels": 0}, "channels = 0; a whole number from 1 to 1024"),
        ({"levels": 0}, "levels = 0; a whole number from 1 to 32"),
        ({"width": 0}, "width = 0"),
        ({"factor": 1}, "nothing is coarse-grained"),
        ({"operator": "haar", "factor": 3}, "factor is 3"),
        ({"evaluations": 0}, "evaluations = 0; a whole number from 1 to 1000"),
        ({"encoder_blocks": -1}, "encoder_blocks = -1; a whole number from 0 to 64"),
        ({"decoder_blocks": -1, "lift": "flow"}, "decoder_blocks = -1; a whole number from 0 to 64"),
        ({"scattering": -2}, "scattering = -2; a whole number from 0 to 3"),
    ],
)
def test_a_cascade_that_cannot_be_says_why(options, words):
    with pytest.raises(ValueError, match=words):
        cascade(**options)


@pytest.mark.integration
def test_channels_are_told_apart_by_name_whatever_their_order():
    model = fitted(red(4, 2, (16, 24)))
    model.metadata = {"channels": ["u", "v"]}
    coarse = xr.Dataset({name: (("y", "x"), np.random.rand(4, 6)) for name in ("u", "v")})
    xr.testing.assert_equal(model.refine(coarse)[["u", "v"]], model.refine(coarse[["v", "u"]])[["u", "v"]])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 7.0])
def test_fields_that_say_nothing_are_refused(value):
    x = red(4, 2, (16, 24))
    x[:, 1] = value
    with pytest.raises(ValueError, match=r"constant, or has infinite values or none|not finite"):
        fitted(x)
    with pytest.raises(ValueError, match="its true resolution"):
        fitted(red(4, 1, (8, 12)).repeat_interleave(2, 2).repeat_interleave(2, 3))
    if value != 7:
        with pytest.raises(ValueError, match=r"not finite|are missing"):
            fitted(red(4, 1, (16, 24))).refine(torch.full((4, 6), value))


@pytest.mark.usefixtures("unchecked")
def test_requests_that_do_not_fit_the_model_say_what_would():
    model = fitted(red(4, 1, (16, 24)))
    with pytest.raises(ValueError, match=r"levels is 3; .* 1 to 2"):
        model.refine(torch.zeros(4, 6), levels=3)
    with pytest.raises(ValueError, match="members is 0"):
        model.refine(torch.zeros(4, 6), members=0)
    with pytest.raises(ValueError, match="count is 0"):
        model.sample((16, 24), count=0)
    with pytest.raises(ValueError, match=r"not divisible by 4, as this model asks; \(16, 24\) would be"):
        model.sample((18, 24))
    with pytest.raises(ValueError, match=r"one number for each axis, \(16, 16\)"):
        model.sample(16)
    with pytest.raises(ValueError, match="2-dimensional"):
        model.sample((16,))
