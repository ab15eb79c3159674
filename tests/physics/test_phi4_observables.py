import math

import numpy as np
import pytest
import torch

from rgdm.physics.actions import Phi4
from rgdm.physics.observables import observables


def test_uniform_fields_give_the_moments_of_their_values():
    values = torch.linspace(-1, 1, 40, dtype=torch.float64)
    fields = values.reshape(-1, 1, 1, 1).expand(-1, 1, 4, 6)
    action = Phi4(0.5, 1.0, 2.0)
    found = {name: value for name, (value, _) in observables(fields, action).items()}
    m2, m4 = float(values.square().mean()), float(values.pow(4).mean())
    assert found["m"] == pytest.approx(0, abs=1e-12)
    assert found["m2"] == found["phi2"] == found["nearest_neighbour"] == pytest.approx(m2)
    assert found["u4"] == pytest.approx(1 - m4 / (3 * m2**2))
    assert found["action_per_site"] == pytest.approx(-2 * 0.5 * m2 + 1.0 * m2 + 2.0 * m4)


def test_correlation_length_inverts_a_lorentzian_spectrum():
    size, xi, count = 16, 3.0, 64
    k = 2 * np.pi * np.fft.fftfreq(size)
    khat2 = 4 * np.sin(k[:, None] / 2) ** 2 + 4 * np.sin(k[None] / 2) ** 2
    amplitude = np.sqrt(1 / (khat2 + xi**-2))
    # Every configuration has the exact spectrum, so there is no sampling error.
    noise = np.random.default_rng(0).standard_normal((count, size, size))
    phase = np.fft.fft2(noise)
    fields = np.fft.ifft2(amplitude * phase / np.abs(phase)).real
    found = observables(torch.from_numpy(fields[:, None]), Phi4.critical())
    assert found["xi_over_length"][0] == pytest.approx(xi / size, rel=1e-9)


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
