"""Fields have the same bits whatever the number of threads, and errors come out of every one."""

import pytest
import torch

from lift_examples import randomise, red
from rgdm.errors import InputError
from rgdm.model.cascade import memory
from rgdm.model.cascade.cascade import Cascade
from rgdm.scale import tiles
from small import cascade


@pytest.fixture
def small_pieces(monkeypatch) -> None:
    monkeypatch.setattr(tiles, "SITES", {1: 256, 2: 256, 3: 256})
    monkeypatch.setattr(memory, "TOGETHER", 64 * 48)


@pytest.fixture
def with_threads():
    before = torch.get_num_threads()

    def made(threads: int, make):
        torch.set_num_threads(threads)
        result = make()
        assert torch.get_num_threads() == threads
        return result

    yield made
    torch.set_num_threads(before)


def model() -> Cascade:
    made = cascade()
    made.fit(red(4, (64, 48)).float())
    randomise(made.lifts, 0.1)
    return made.eval()


@pytest.mark.filterwarnings("ignore::rgdm.errors.RangeWarning")
@pytest.mark.parametrize("members", [1, 5])
def test_the_number_of_threads_changes_no_bit(small_pieces, with_threads, members):
    cascaded, coarse = model(), torch.randn(1, 1, 16, 12, generator=torch.Generator().manual_seed(1))
    refined = [with_threads(n, lambda: cascaded.refine(coarse, members=members, seed=3)) for n in (1, 2, 4)]
    assert torch.equal(refined[0], refined[1]) and torch.equal(refined[0], refined[2])
    sampled = [with_threads(n, lambda: cascaded.sample((64, 48), members, seed=3)) for n in (1, 3)]
    assert torch.equal(*sampled)


def test_what_goes_wrong_in_a_thread_is_the_error_of_the_call(small_pieces, with_threads):
    made = model()
    made.own_lift(0).temperature.fill_(torch.nan)
    with pytest.raises(InputError, match="not finite"):
        with_threads(3, lambda: made.sample((64, 48), 5))


def test_progress_counts_fields_and_ends_with_all(small_pieces, with_threads):
    told: list[tuple[int, int]] = []
    with_threads(3, lambda: model().sample((64, 48), 5, watch=lambda done, total: told.append((done, total))))
    assert told == [(n, 5) for n in range(1, 6)]
