import math

import numpy as np
import pytest
import torch

from rgdm.physics.actions import FreeField, Ising, Phi4
from rgdm.physics.exact import ising
from rgdm.physics.monte_carlo.chains import rethermalize, sample_fields
from rgdm.physics.observables import as_dataset, correlator, observables


def test_uniform_fields_give_the_moments_of_their_values():
    values = torch.linspace(-1, 1, 40, dtype=torch.float64)
    fields = values.reshape(-1, 1, 1, 1).expand(-1, 1, 4, 6)
    action = Phi4(0.5, 1.0, 2.0)
    observed = {name: value for name, (value, _) in observables(fields, action).items()}
    m2, m4 = float(values.square().mean()), float(values.pow(4).mean())
    assert observed["m"] == pytest.approx(0, abs=1e-12)
    assert observed["m2"] == observed["phi2"] == observed["nearest_neighbour"] == pytest.approx(m2)
    assert observed["u4"] == pytest.approx(1 - m4 / (3 * m2**2))
    assert observed["action_per_site"] == pytest.approx(-2 * 0.5 * m2 + 1.0 * m2 + 2.0 * m4)


def test_correlation_length_inverts_a_lorentzian_spectrum():
    size, xi, count = 16, 3.0, 64
    k = 2 * np.pi * np.fft.fftfreq(size)
    khat2 = 4 * np.sin(k[:, None] / 2) ** 2 + 4 * np.sin(k[None] / 2) ** 2
    amplitude = np.sqrt(1 / (khat2 + xi**-2))
    # Every configuration has the exact spectrum, so there is no sampling error.
    noise = np.random.default_rng(0).standard_normal((count, size, size))
    phase = np.fft.fft2(noise)
    fields = np.fft.ifft2(amplitude * phase / np.abs(phase)).real
    observed = observables(torch.from_numpy(fields[:, None]), Phi4.critical())
    assert observed["xi_over_length"][0] == pytest.approx(xi / size, rel=1e-9)


def test_what_fluctuates_within_a_phase_is_told_from_the_two_phases():
    """Two phases at +-2 with fluctuations of variance v around them: chi sees the phases, its connected part v."""
    random, count, sites = torch.Generator().manual_seed(0), 4000, 8
    fields = 2 + 0.3 * torch.randn(count, 1, sites, generator=random, dtype=torch.float64)
    signs = torch.where(torch.rand(count, 1, 1, generator=random) < 0.5, 1.0, -1.0)
    observed = observables(fields * signs, Phi4(0.0, 1.0, 0.0))
    value, error = observed["chi_connected"]
    assert abs(value - 0.09) < 4 * error and error < 0.01
    assert observed["chi"][0] == pytest.approx(4 * sites, rel=0.02)
    assert observed["abs_m"][0] == pytest.approx(2, abs=0.01) and abs(observed["m"][0]) < 0.2


@pytest.mark.integration
@pytest.mark.parametrize(("lattice", "anisotropy"), [((8, 8), (1.0, 1.0)), ((4, 12), (1.0, 1.0)), ((8, 8), (1.0, 0.4))])
def test_energy_and_specific_heat_of_spins_are_those_of_kaufman(lattice, anisotropy):
    action = Ising(0.44, anisotropy=anisotropy)
    fields = sample_fields(action, lattice, 200, 8000, seed=1, thermalization=50, interval=3)
    observed, exact = observables(fields, action), ising.thermodynamics(0.44, lattice, anisotropy)
    for name, known in (("action_per_site", 0.44 * exact.energy), ("specific_heat", exact.specific_heat)):
        value, error = observed[name]
        assert abs(value - known) < 4 * error and error < 0.05 * abs(known), name
    other = ising.thermodynamics(0.37, lattice, anisotropy).specific_heat  # the control
    assert abs(observed["specific_heat"][0] - other) > 4 * observed["specific_heat"][1]


def test_jackknife_error_of_a_mean_is_its_standard_error():
    fields = torch.randn(400, 1, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    _, error = observables(fields, Phi4.critical(), blocks=400)["m"]
    assert error == pytest.approx(float(fields.flatten(1).mean(1).std()) / math.sqrt(400), rel=1e-9)


def test_blocks_see_the_correlation_within_a_chain():
    chains = torch.randn(50, 1, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    repeated = chains.repeat_interleave(8, 0)
    alone = observables(chains, Phi4.critical())["phi2"]
    assert observables(repeated, Phi4.critical())["phi2"] == pytest.approx(alone)


def test_one_configuration_has_no_error_and_is_refused():
    with pytest.raises(ValueError, match="at least 2"):
        observables(torch.zeros(1, 1, 4, 4), Phi4.critical())


def test_the_susceptibility_is_that_of_the_magnetization_and_all_fits_a_dataset():
    fields = torch.randn(40, 1, 4, 6, dtype=torch.float64)
    observed = observables(fields, Phi4.critical())
    assert observed["chi"] == pytest.approx([24 * v for v in observed["m2"]])
    table = as_dataset(observed)
    assert float(table["value"].sel(observable="chi")) == observed["chi"][0] and table["error"].dims == ("observable",)


def test_the_correlator_of_a_free_field_is_the_transform_of_its_spectrum():
    field, lattice = FreeField(0.6), (6, 16)
    noise = torch.randn(4000, 1, *lattice, dtype=torch.float64)
    x = torch.fft.ifft2(field.spectrum(lattice).sqrt() * torch.fft.fft2(noise)).real
    value, error = correlator(x)
    exact = torch.fft.ifft(field.spectrum(lattice)[0]).real / 6
    assert float(((value - exact) / error).abs().max()) < 4
    assert float(((value - 1.1 * exact) / error).abs().max()) > 4  # a control


@pytest.mark.integration
def test_local_sweeps_forget_what_is_wrong_locally_and_keep_the_rest():
    action = Phi4.critical()
    fields = sample_fields(action, 16, 200, 400, seed=4, thermalization=60, interval=5)
    spoiled = fields + 0.3 * torch.randn(fields.shape)
    energy = [float(action.energy(x).mean()) / 256 for x in (fields, spoiled, rethermalize(action, spoiled, 12, 1))]
    assert energy[1] - energy[0] > 0.05 and abs(energy[2] - energy[0]) < 0.02
    kept = [x.flatten(1).mean(1) for x in (spoiled, rethermalize(action, spoiled, 2, 1))]
    assert float(torch.corrcoef(torch.stack(kept))[0, 1]) > 0.97
    assert torch.equal(rethermalize(action, fields, 0), fields)
    with pytest.raises(ValueError, match="-1 sweeps"):
        rethermalize(action, fields, -1)
