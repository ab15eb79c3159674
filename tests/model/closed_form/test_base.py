"""The model of the coarsest field: its one-point distribution and its spectrum are those of the data."""

import pytest
import torch

from rgdm.evaluate import octave_power
from rgdm.model.closed_form.base import TranslationField
from rgdm.scale.basis import Cosine, Fourier


def smooth(count: int, lattice: tuple[int, ...], slope: float = 2.0, boundary: str = "periodic") -> torch.Tensor:
    """Gaussian fields of unit variance with S(k) ~ (k^2 + k_0^2)^(-slope/2)."""
    basis = Fourier() if boundary == "periodic" else Cosine()
    gain = (basis.wavenumber(lattice).square() + 0.3**2) ** (-slope / 4)
    x = basis.synthesize(torch.randn(count, 1, *lattice) * gain.float())
    return x / x.std()


def two_wells(g: torch.Tensor) -> torch.Tensor:
    """Around -1 and +1, as in a broken phase."""
    return g.sign() + 0.3 * g


def drawn(model: TranslationField, count: int, lattice: tuple[int, ...]) -> torch.Tensor:
    return model(torch.randn(count, 1, *model.noise_lattice(lattice)))


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest difference of the distribution functions of two samples (Kolmogorov-Smirnov)."""
    points = torch.cat([a, b]).sort().values

    def share(x: torch.Tensor) -> torch.Tensor:
        return torch.searchsorted(x.sort().values, points, right=True) / len(x)

    return float((share(a.contiguous()) - share(b.contiguous())).abs().max())


@pytest.mark.integration
@pytest.mark.parametrize("lattice", [(64,), (16, 24), (8, 8, 8)])
@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_marginal_and_spectrum_of_bimodal_data_are_met(boundary, lattice):
    x = two_wells(smooth(128, lattice, boundary=boundary))
    model = TranslationField(1, boundary)
    model.fit(x)
    y = drawn(model, 256, lattice)
    assert distance(x.flatten(), y.flatten()) < 0.05
    ratio = octave_power(y, boundary)[1].mean(0) / octave_power(x, boundary)[1].mean(0)
    assert (ratio - 1).abs().max() < 0.2


@pytest.mark.integration
@pytest.mark.parametrize("side", [4, 8, 128])
def test_every_lattice_has_the_same_power_at_the_scales_that_were_measured(side):
    """Means of the measured fields have more than half of the variance: more modes, or none, change nothing."""
    torch.manual_seed(0)
    k = Fourier().wavenumber((128, 128))
    wide = Fourier().synthesize(torch.randn(64, 1, 128, 128) * (k.square() + 0.03**2).pow(-0.625).float())
    cut = pieces(wide / wide.std(), 16)
    model = TranslationField(1, "reflect")
    model.fit(cut)

    def off() -> float:
        small = min(side, 16)
        made = pieces(drawn(model, 2**20 // side**2, (side, side)), small)
        power = [octave_power(x, "reflect")[1].mean(0) for x in (made, pieces(cut, small))]
        return float((power[0] / power[1]).log().abs()[: {4: 1, 8: 2}.get(side, 3)].max())

    kept = off()
    model.share.zero_()  # as if nothing were known of scales
    assert kept < 0.14 and off() > 0.18


def test_fields_of_one_site_say_nothing_of_scales():
    model = TranslationField(1, "reflect")
    model.fit(torch.randn(500, 1, 1, 1))
    made = drawn(model, 2000, (8, 8))
    power, white = (octave_power(x, "reflect")[1].mean(0) for x in (made, torch.randn(2000, 1, 8, 8)))
    assert float((power / white).log().abs().max()) < 0.1


def pieces(x: torch.Tensor, side: int) -> torch.Tensor:
    """All pieces of so many sites along each axis."""
    return x.unfold(2, side, side).unfold(3, side, side).transpose(1, 3).reshape(-1, 1, side, side)


@pytest.mark.integration
def test_the_criteria_tell_a_gaussian_from_two_wells_and_white_noise_from_red():
    x = two_wells(smooth(128, (16, 24)))
    model = TranslationField(1, "periodic")
    model.fit(smooth(128, (16, 24), slope=1.0))
    y = drawn(model, 256, (16, 24))
    assert distance(x.flatten(), y.flatten()) > 0.1
    ratio = octave_power(y, "periodic")[1].mean(0) / octave_power(x, "periodic")[1].mean(0)
    assert (ratio - 1).abs().max() > 0.4


def test_on_a_lattice_of_one_site_the_quantiles_are_those_of_the_data():
    x = torch.randn(4000).exp()
    model = TranslationField(1, "reflect")
    model.fit(x.reshape(-1, 1, 1, 1))
    q = torch.linspace(0.01, 0.99, 99)
    g = torch.special.ndtri(q).reshape(-1, 1, 1, 1).expand(-1, 1, 2, 2)
    torch.testing.assert_close(model(g).flatten(), x.quantile(q), rtol=0.01, atol=0.005)


@pytest.mark.integration
def test_a_spectrum_measured_on_large_tiles_serves_other_lattices():
    x = smooth(16, (128, 128))
    model = TranslationField(1, "periodic")
    model.fit(x)
    for lattice in ((32, 32), (128, 64), (256, 256)):
        y = drawn(model, 16, lattice)
        assert abs(float(y.std()) - 1) < 0.15
        octaves = min(4, octave_power(y, "periodic")[1].shape[1])
        ratio = octave_power(y, "periodic")[1].mean(0)[:octaves] / octave_power(x, "periodic")[1].mean(0)[:octaves]
        assert (ratio - 1).abs().max() < 0.35


@pytest.mark.integration
def test_one_field_alone_says_nothing_of_the_mean_so_larger_fields_keep_their_large_scales():
    model = TranslationField(1, "periodic")
    model.fit(smooth(1, (32, 32)))
    assert (model.spectrum[0, 0, -1] > 0.1 * model.spectrum.max()).all()


@pytest.mark.integration
def test_channels_have_their_own_units():
    x = torch.cat([smooth(64, (16, 16)), 1e3 * smooth(64, (16, 16)) + 5e3], 1)
    model = TranslationField(2, "reflect")
    model.fit(x)
    y = model(torch.randn(64, 2, *model.noise_lattice((16, 16))))
    torch.testing.assert_close(y.mean((0, 2, 3)), x.mean((0, 2, 3)), rtol=0.02, atol=0.1)
    torch.testing.assert_close(y.std((0, 2, 3)), x.std((0, 2, 3)), rtol=0.1, atol=0)


def coherences(x: torch.Tensor, boundary: str) -> torch.Tensor:
    """Of the two channels, in octaves of the wavenumber from coarse to fine."""
    basis = Fourier() if boundary == "periodic" else Cosine()
    k = basis.wavenumber(tuple(x.shape[2:]))
    z = basis.analyze(x.double() - x.double().mean((0, 2, 3), keepdim=True))
    found = []
    for low in (0.2, 0.5, 1.0, 2.0):
        inside = (k > low) & (k <= 2.2 * low)
        a, b = z[:, 0][:, inside], z[:, 1][:, inside]
        found.append((a * b).mean() / (a.square().mean() * b.square().mean()).sqrt())
    return torch.stack(found)


def two_channels(count: int, lattice: tuple[int, ...], boundary: str) -> torch.Tensor:
    """Correlated by .95 at every scale; one Gaussian, one with heavy tails."""
    u, v = smooth(count, lattice, boundary=boundary), smooth(count, lattice, boundary=boundary)
    v = 0.95 * u + (1 - 0.95**2) ** 0.5 * v
    return torch.cat([u, 1e3 * (v + 0.1 * v.pow(3)) + 5e3], 1)


@pytest.mark.parametrize("boundary", ["periodic", "reflect"])
def test_channels_are_as_coherent_as_the_data_at_every_scale(boundary):
    x = two_channels(64, (24, 24), boundary)
    model = TranslationField(2, boundary)
    model.fit(x)
    y = model(torch.randn(128, 2, *model.noise_lattice((24, 24))))
    wanted, made = coherences(x, boundary), coherences(y, boundary)
    assert float(wanted.min()) > 0.85
    torch.testing.assert_close(made, wanted, rtol=0, atol=0.05)
    correlation = [float(torch.corrcoef(z.movedim(1, 0).flatten(1))[0, 1]) for z in (x, y)]
    assert correlation[1] == pytest.approx(correlation[0], abs=0.03)
    # the control: channels of other fields
    model.fit(torch.cat([x[:, :1], x[:, 1:].roll(1, 0)], 1))
    assert float(coherences(model(torch.randn(128, 2, *model.noise_lattice((24, 24)))), boundary).max()) < 0.3


def test_coherence_that_differs_between_scales_is_met():
    u, v, w = (smooth(64, (24, 24)) for _ in range(3))
    large, k = Fourier(), Fourier().wavenumber((24, 24))
    keep = (k < 0.8).float()
    v = large.synthesize(large.analyze(u) * keep - large.analyze(v) * (1 - keep))
    x = torch.cat([u, v, w], 1)
    model = TranslationField(3, "periodic")
    model.fit(x)
    y = model(torch.randn(128, 3, 24, 24))
    made = coherences(y[:, :2], "periodic")
    assert float(made[0]) > 0.97 and abs(float(made[3])) < 0.1
    assert float(coherences(y[:, 1:], "periodic").abs().max()) < 0.25


def test_a_channel_that_is_a_function_of_another_stays_one():
    u = smooth(64, (24, 24))
    model = TranslationField(2, "periodic")
    model.fit(torch.cat([u, u.exp()], 1))
    y = model(torch.randn(64, 2, 24, 24)).movedim(1, 0).flatten(1)
    ranks = y.argsort(1).argsort(1).double()
    assert float(torch.corrcoef(ranks)[0, 1]) > 0.995
    assert float((y[0].exp() - y[1]).abs().median()) < 0.05


@pytest.mark.parametrize("count", [1, 2])
def test_fields_fewer_than_channels_give_a_model_that_makes_and_judges_fields(count):
    x = torch.cat([smooth(count, (4, 4)) + 0.1 * i * smooth(count, (4, 4)) for i in range(5)], 1)
    for boundary in ("periodic", "reflect"):
        model = TranslationField(5, boundary)
        model.fit(x)
        y = model(torch.randn(200, 5, *model.noise_lattice((4, 4))))
        assert bool(y.isfinite().all()) and bool(model.log_prob(y.double()).isfinite().all())
        assert float(y.std((0, 2, 3)).max()) < 3 * float(x.std((0, 2, 3)).max())
