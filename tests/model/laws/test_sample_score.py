"""The energy score, and lifts that are trained by it: proper, learned in one evaluation, and refusing more."""

import pytest
import torch

from rgdm.model.laws.sample_score import sample_score
from rgdm.train.batches import Batches
from small import cascade


def white(count, seed, channels=2, side=6):
    return torch.randn(count, channels, side, side, generator=torch.Generator().manual_seed(seed))


def test_it_is_the_smallest_for_the_true_law():
    truth = white(4000, 0)
    scores = {}
    for name, change in {
        "true": lambda y: y,
        "narrow": lambda y: 0.7 * y,
        "wide": lambda y: 1.4 * y,
        "shifted": lambda y: y + 0.4,
        "smooth": lambda y: (y + y.roll(1, 3)) / 2**0.5,  # the right law of each site, the wrong one of a window
        "rough": lambda y: (y - y.roll(1, 2)) / 2**0.5,
        "bands alike": lambda y: y[:, :1].expand_as(y),
    }.items():
        scores[name] = float(sample_score(change(white(4000, 1)), change(white(4000, 2)), truth).mean())
    assert all(value > scores["true"] + 0.003 for name, value in scores.items() if name != "true"), scores


def test_one_site_of_one_channel_is_the_fair_crps():
    truth, a, b = white(50, 0, 1, 1), white(50, 1, 1, 1), white(50, 2, 1, 1)
    fair = ((a - truth).abs() + (b - truth).abs() - (a - b).abs()).flatten() / 2
    torch.testing.assert_close(sample_score(a, b, truth), fair, atol=2e-3, rtol=0)


def test_sites_of_no_importance_do_not_count():
    truth, a, b = white(3, 0), white(3, 1), white(3, 2)
    mask = torch.zeros(1, 1, 6, 6)
    mask[..., 2:4, 2:4] = 1
    other = truth + torch.where(mask > 0, 0.0, 10.0)
    torch.testing.assert_close(sample_score(a, b, other, mask), sample_score(a, b, truth, mask))
    assert not torch.allclose(sample_score(a, b, other), sample_score(a, b, truth))


def wells(count, side, seed=0):
    """Independent sites of a chain near +1 or -1: two wells for the detail where the pair is mixed."""
    random = torch.Generator().manual_seed(seed)
    signs = torch.randint(0, 2, (count, 1, side), generator=random) * 2.0 - 1
    return signs + 0.2 * torch.randn(signs.shape, generator=random)


@pytest.mark.slow
def test_one_evaluation_learns_two_wells():
    torch.manual_seed(0)
    settings = {"levels": 1, "boundary": "periodic", "width": 16, "encoder_blocks": 1, "decoder_blocks": 1, "bend": 0.0}
    model = cascade(1, 1, objective="energy", evaluations=1, **settings)
    fields = wells(256, 64)
    model.fit(fields)
    batches = Batches(model, model.normalise(fields), 0, sites=2048)
    coarse = model.trajectory(fields)[-1]

    def kurtosis(x):
        return float(x.pow(4).mean() / x.square().mean().square())

    before, true = kurtosis(model.refine(coarse, seed=1)[0]), kurtosis(fields)
    optimizer = torch.optim.Adam(model.parameters(), 4e-3)
    for step in range(300):
        level, fine, t, noise, halo, importance, _ = batches(step)
        assert noise.shape[1] == 2
        optimizer.zero_grad()
        model(fine, level, t, noise, halo, importance).mean().backward()
        optimizer.step()
    after = kurtosis(model.refine(coarse, seed=1)[0])
    assert abs(after - true) < 0.25 and before - true > 0.5 and true < 1.3, (before, after, true)


@pytest.mark.usefixtures("unchecked")
def test_it_makes_no_other_number_of_evaluations_and_has_no_likelihood():
    model = cascade(levels=1, objective="energy", evaluations=2, width=4, boundary="periodic")
    model.fit(torch.randn(8, 1, 8, 8))
    assert model.sample((8, 8)).shape == (1, 1, 8, 8)
    with pytest.raises(
        ValueError, match="5 evaluations a level of AdamsBashforth; this model was trained by its samples of 2"
    ):
        model.sample((8, 8), evaluations=5)
    with pytest.raises(ValueError, match="no likelihood"):
        model.log_prob(torch.randn(2, 1, 8, 8))
    with pytest.raises(ValueError, match="unknown objective 'score'"):
        cascade(objective="score")  # pyright: ignore[reportArgumentType]
