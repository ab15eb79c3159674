"""Distance in scattering coefficients, and fields of maximum entropy that have those of a target."""

import math

import pytest
import torch

from rgdm.evaluate.scattering import maximum_entropy, scattering_distance
from rgdm.scale.scattering.coefficients import Scattering

pytestmark = pytest.mark.usefixtures("float64")


def gaussian(count: int, *lattice: int) -> torch.Tensor:
    """Gaussian fields with a falling spectrum, periodic."""
    axes = tuple(range(2, 2 + len(lattice)))
    k = torch.stack(torch.meshgrid(*(torch.fft.fftfreq(n) for n in lattice), indexing="ij")).square().sum(0)
    x = torch.fft.fftn(torch.randn(count, 1, *lattice), dim=axes) / (k + 1e-2) ** 0.5
    x = torch.fft.ifftn(x, dim=axes).real
    return x / x.std()


def cliffs(count: int, *lattice: int) -> torch.Tensor:
    """Fields of plateaux with sharp edges: anything but Gaussian."""
    return torch.tanh(8 * gaussian(count, *lattice)) + 0.1 * torch.randn(count, 1, *lattice)


def surrogate(x: torch.Tensor) -> torch.Tensor:
    """The same modulus of every Fourier mode of every sample, other phases."""
    axes = tuple(range(2, x.dim()))
    z, noise = torch.fft.fftn(x, dim=axes), torch.fft.fftn(torch.randn_like(x), dim=axes)
    phase = noise / noise.abs()
    origin = (..., *(0,) * len(axes))
    phase[origin] = z[origin] / z[origin].abs()  # the mean
    return torch.fft.ifftn(z.abs() * phase, dim=axes).real


# --- distance ----------------------------------------------------------------------------------


@pytest.mark.parametrize("law", [gaussian, cliffs])
@pytest.mark.parametrize("lattice, scattering", [((128,), Scattering(4)), ((32, 32), Scattering(3, 2))])
def test_two_sets_of_one_law_are_near_within_their_errors(law, lattice, scattering):
    distance = scattering_distance(law(40, *lattice), law(50, *lattice), scattering)
    assert distance.orders == [0, 1, 2]
    assert (distance.significance < 2.5).all()
    assert (distance.difference.value.abs() < 5 * distance.difference.error).all()
    assert distance.difference.value.shape == (1, len(distance.paths))


@pytest.mark.parametrize("lattice, scattering", [((128,), Scattering(4)), ((32, 32), Scattering(3, 2))])
def test_random_phases_are_found_in_cliffs_and_not_in_gaussian_fields(lattice, scattering):
    truth, bumps = cliffs(40, *lattice), gaussian(40, *lattice)
    planted = scattering_distance(surrogate(cliffs(40, *lattice)), truth, scattering)
    assert planted.significance[2] > 6 and planted.rms.value[2] > 6 * planted.rms.error[2]
    clean = scattering_distance(surrogate(gaussian(40, *lattice)), bumps, scattering)
    assert (clean.significance < 2.5).all() and clean.rms.value[2] < planted.rms.value[2] / 3


@pytest.mark.integration
def test_the_noise_is_the_rms_that_sets_of_one_law_show_on_average():
    squares, expected, scattering = [], [], Scattering(3)
    for _ in range(40):
        distance = scattering_distance(cliffs(12, 32), cliffs(200, 32), scattering)
        squares.append(distance.rms.value.square())
        expected.append(distance.noise.square())
    ratio = torch.stack(squares).mean(0) / torch.stack(expected).mean(0)
    assert ((ratio - 1).abs() < 0.6).all()


def test_the_distance_is_the_difference_of_means_over_the_spread_of_the_truth():
    fields, truth, scattering = cliffs(5, 32), cliffs(7, 32), Scattering(2)
    distance = scattering_distance(fields, truth, scattering)
    a, b = (scattering((x - truth.mean()) / truth.std(correction=0))[:, 0] for x in (fields, truth))
    expected = (a.mean(0) - b.mean(0)) / b.std(0)
    assert torch.allclose(distance.difference.value[0], expected)
    error = ((a.var(0) / 5 + b.var(0) / 7) / b.var(0)).sqrt()
    assert torch.allclose(distance.difference.error[0], error)
    order = torch.tensor([path.order for path in distance.paths])
    rms = [expected[order == m].square().mean().sqrt() for m in range(3)]
    assert torch.allclose(distance.rms.value, torch.stack(rms))


def test_a_set_has_no_distance_from_itself_and_units_do_not_matter():
    truth, fields, scattering = cliffs(6, 16, 16), cliffs(6, 16, 16), Scattering(2, 2)
    assert scattering_distance(truth, truth, scattering).rms.value.max() < 1e-12
    plain = scattering_distance(fields, truth, scattering)
    celsius = scattering_distance(10 + 3 * fields, 10 + 3 * truth, scattering)
    assert torch.allclose(celsius.difference.value, plain.difference.value)


def test_one_scale_has_two_orders():
    distance = scattering_distance(gaussian(4, 16), gaussian(4, 16), Scattering(1))
    assert distance.orders == [0, 1] and distance.noise.shape == (2,)


def test_channels_are_judged_apart():
    fields = torch.cat([cliffs(20, 64), surrogate(cliffs(20, 64))], 1)
    truth = torch.cat([cliffs(20, 64), 5 * cliffs(20, 64)], 1) * torch.tensor([1.0, 1.0])[:, None]
    fields = fields * torch.tensor([1.0, 5.0])[:, None]
    distance = scattering_distance(fields, truth, Scattering(3))
    order = torch.tensor([path.order for path in distance.paths])
    z = (distance.difference.value / distance.difference.error)[:, order == 2].abs().amax(1)
    assert z[0] < 5 < z[1]


# --- maximum entropy ---------------------------------------------------------------------------


@pytest.mark.integration
@pytest.mark.parametrize("statistics", ["scattering", "covariances"])
@pytest.mark.parametrize("start", ["spectrum", "white"])
@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_the_loss_falls_by_orders_of_magnitude(statistics, start, boundary):
    target, scattering = cliffs(4, 16, 16), Scattering(2, 2, boundary)
    result = maximum_entropy(target, scattering, 1, steps=30, statistics=statistics, start=start)
    assert result.fields.shape == (1, 1, 16, 16) and result.losses.shape == (1, 31)
    assert result.losses[0, -1] < result.losses[0, 0] / 200
    assert (result.losses.diff() <= 0).all()


@pytest.mark.integration
@pytest.mark.parametrize("statistics", ["scattering", "covariances"])
def test_fields_have_the_mean_statistics_of_the_target_and_the_start_has_not(statistics):
    target, scattering = 7 + 3 * cliffs(6, 128), Scattering(4)
    measure = scattering if statistics == "scattering" else scattering.covariances
    goal, spread = measure(target).mean(0), measure(target).std(0)
    result = maximum_entropy(target, scattering, 2, steps=60, statistics=statistics)
    start = maximum_entropy(target, scattering, 2, steps=1, statistics=statistics)
    assert ((measure(result.fields) - goal) / spread).abs().max() < 0.2
    assert ((measure(start.fields) - goal) / spread).square().mean().sqrt() > 0.7


@pytest.mark.integration
def test_fields_are_nearer_to_the_truth_than_gaussian_ones():
    truth, scattering = cliffs(30, 32, 32), Scattering(3, 2)
    fields = maximum_entropy(truth, scattering, 4, steps=25).fields
    gauss = scattering_distance(surrogate(truth), truth, scattering).rms.value
    assert scattering_distance(fields, truth, scattering).rms.value[2] < gauss[2] / 3


@pytest.mark.integration
def test_the_start_has_the_power_of_the_target_in_each_band_and_white_noise_has_not():
    target, scattering = gaussian(30, 256), Scattering(4)
    chosen = [i for i, moment in enumerate(scattering.covariance_names(1)) if moment.kind in ("low", "C00")]

    def ratio(start):
        fields = maximum_entropy(target, scattering, 24, steps=1, start=start, lattice=(320,)).fields
        return scattering.covariances(fields).mean(0)[0, chosen] / scattering.covariances(target).mean(0)[0, chosen]

    assert ((ratio("spectrum") - 1).abs() < 0.35).all()
    assert ratio("white").max() > 2


def test_one_seed_gives_one_field_whatever_the_count():
    target, scattering = cliffs(3, 16, 16), Scattering(2, 2)
    one, two = (maximum_entropy(target, scattering, n, steps=5, seed=3) for n in (1, 2))
    assert torch.equal(one.fields[0], two.fields[0]) and torch.equal(one.losses[0], two.losses[0])
    assert not torch.allclose(two.fields[0], two.fields[1], atol=0.5)
    other = maximum_entropy(target, scattering, 1, steps=5, seed=4).fields
    assert not torch.allclose(one.fields, other, atol=0.5)


def test_another_lattice_has_the_same_statistics():
    target, scattering = cliffs(4, 16, 24), Scattering(2, 2)
    result = maximum_entropy(target, scattering, 1, lattice=(40, 20), steps=30)
    assert result.fields.shape == (1, 1, 40, 20)
    assert result.losses[0, -1] < result.losses[0, 0] / 100


@pytest.mark.integration
def test_channels_keep_their_own_units():
    target = torch.cat([cliffs(8, 64), 100 + 9 * gaussian(8, 64)], 1)
    fields = maximum_entropy(target, Scattering(3), 2, steps=40).fields
    for value, goal in ((fields.mean((0, 2)), target.mean((0, 2))), (fields.std((0, 2)), target.std((0, 2)))):
        assert torch.allclose(value, goal, rtol=0.15, atol=0.15)


def test_precision_is_that_of_the_target_and_the_caller_keeps_it_unchanged():
    target = cliffs(3, 32).float()
    kept = target.clone()
    result = maximum_entropy(target, Scattering(2), 1, steps=20)
    assert result.fields.dtype == torch.float32 and result.losses.dtype == torch.float64
    assert not result.fields.requires_grad and torch.equal(target, kept)
    assert result.losses[0, -1] < result.losses[0, 0] / 100


def test_progress_counts_every_step_of_every_field():
    calls: list[tuple[int, int]] = []
    maximum_entropy(cliffs(2, 16), Scattering(1), 2, steps=3, watch=lambda done, total: calls.append((done, total)))
    assert calls == [(i, 6) for i in range(1, 7)]


# --- bad input ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("unchecked")
def test_sets_that_do_not_compare_are_refused():
    scattering = Scattering(2)
    with pytest.raises(ValueError, match=r"\(3, 1, 16\).*\(3, 1, 32\)"):
        scattering_distance(gaussian(3, 16), gaussian(3, 32), scattering)
    with pytest.raises(ValueError, match="1 fields and 3"):
        scattering_distance(gaussian(1, 16), gaussian(3, 16), scattering)
    with pytest.raises(ValueError, match="constant"):
        scattering_distance(gaussian(3, 16), torch.ones(3, 1, 16), scattering)
    with pytest.raises(ValueError, match="not finite"):
        scattering_distance(gaussian(3, 16), torch.full((3, 1, 16), math.nan), scattering)


@pytest.mark.usefixtures("unchecked")
def test_bad_arguments_of_the_generator_are_named():
    target, scattering = gaussian(3, 16), Scattering(2)
    with pytest.raises(ValueError, match="0 fields in 100 steps"):
        maximum_entropy(target, scattering, 0)
    with pytest.raises(ValueError, match="1 fields in 0 steps"):
        maximum_entropy(target, scattering, 1, steps=0)
    with pytest.raises(ValueError, match="'moments'"):
        maximum_entropy(target, scattering, 1, statistics="moments")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="'zero'"):
        maximum_entropy(target, scattering, 1, start="zero")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="a sample of the target is constant"):
        maximum_entropy(torch.cat([target, torch.zeros_like(target[:1])]), scattering, 1, match="sample")
    with pytest.raises(ValueError, match="'mean' or a 'sample'"):
        maximum_entropy(target, scattering, 1, match="all")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"the lattice \(16, 16\)"):
        maximum_entropy(target, scattering, 1, lattice=(16, 16))
    with pytest.raises(ValueError, match="room for 1"):
        maximum_entropy(target, scattering, 1, lattice=(3,))
    with pytest.raises(ValueError, match="seed = -1"):
        maximum_entropy(target, scattering, 1, seed=-1)


@pytest.mark.integration
def test_what_varies_from_field_to_field_is_kept_where_each_matches_a_sample():
    """Fields of mean +-1: the mean statistics have mean 0, those of a sample have its own."""
    noise = torch.randn(4, 1, 32, generator=torch.Generator().manual_seed(0))
    target = noise * 0.3 + torch.tensor([1.0, -1.0, -1.0, 1.0])[:, None, None]
    of_all = maximum_entropy(target, Scattering(2), 5, steps=40).fields.mean((1, 2))
    of_each = maximum_entropy(target, Scattering(2), 5, steps=40, match="sample").fields.mean((1, 2))
    assert float(of_all.abs().max()) < 0.1
    assert torch.allclose(of_each, target.mean((1, 2))[[0, 1, 2, 3, 0]], atol=0.05)
