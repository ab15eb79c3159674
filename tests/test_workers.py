"""Pieces of work on several threads: order, bits, errors, nesting."""

import contextvars
import os
import threading
import time

import pytest
import torch

from rgdm import workers
from rgdm.workers import alone, each


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def three(_threads) -> None:
    torch.set_num_threads(3)


def rendezvous(count: int):
    """A function that returns only when so many threads are in it."""
    barrier = threading.Barrier(count)
    return lambda _: barrier.wait(20)


def test_results_stand_in_the_order_of_the_items():
    assert each(lambda i: (time.sleep(0.01 * (3 - i)), i)[1], range(4)) == [0, 1, 2, 3]
    assert each(lambda i: i, []) == []


def test_as_many_threads_as_pytorch_has_are_at_work_at_a_time():
    assert sorted(each(rendezvous(3), range(3))) == [0, 1, 2]
    now, most, lock = [0], [0], threading.Lock()

    def count(_: int) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.005)
        with lock:
            now[0] -= 1

    each(count, range(12))
    assert most == [3]
    most[0] = 0
    each(count, range(6), most=2)
    assert most == [2]
    most[0] = 0
    each(lambda _: each(count, range(4)), range(4))  # nested: neither more threads nor a deadlock
    assert most[0] <= 3


def test_idle_threads_help_with_what_a_piece_shares_in_turn():
    assert each(lambda _: sorted(each(rendezvous(3), range(3))), range(1)) == [[0, 1, 2]]


def test_every_piece_computes_alone_and_afterwards_all_is_as_it_was():
    inside = each(lambda _: (torch.get_num_threads(), threading.current_thread().name), range(6))
    assert {threads for threads, _ in inside} == {1}
    fresh: list[int] = []
    thread = threading.Thread(target=lambda: fresh.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert (torch.get_num_threads(), fresh) == (3, [3])
    with alone() as width, alone() as again:
        assert (width, again, torch.get_num_threads()) == (3, 3, 1)


def test_bits_do_not_depend_on_the_number_of_threads():
    x = torch.randn(8, 4, 40, 40, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(4, 4, 3, 3, generator=torch.Generator().manual_seed(1))

    def work(i: int) -> torch.Tensor:
        return torch.nn.functional.conv2d(x[i : i + 1], weight).sum()

    many = torch.stack(each(work, range(8)))
    torch.set_num_threads(1)
    one = torch.stack(each(work, range(8)))
    torch.set_num_threads(3)
    assert torch.equal(many, one)


def test_the_error_of_the_first_item_is_raised_when_nothing_runs_any_more():
    running = [0]

    def fail(i: int) -> int:
        running[0] += 1
        time.sleep(0.02 if i == 1 else 0)
        running[0] -= 1
        if i in (1, 2):
            raise ValueError(f"item {i}")
        return i

    for _ in range(5):
        with pytest.raises(ValueError, match="item 1"):
            each(fail, range(50))
        assert running == [0]
    assert each(lambda i: i, range(5)) == list(range(5))


def test_an_error_of_an_inner_piece_comes_through():
    with pytest.raises(ZeroDivisionError):
        each(lambda i: each(lambda j: 1 // (2 - i - j), range(4)), range(2))


def test_an_interrupt_ends_the_work():
    taken: list[int] = []

    def interrupted(i: int) -> None:
        taken.append(i)
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        each(interrupted, range(1000))
    assert len(taken) < 100


def test_pieces_see_gradients_autocast_and_context_as_the_caller_does():
    variable = contextvars.ContextVar("variable", default=0)
    variable.set(7)
    meet = rendezvous(3)

    def seen(i: int) -> tuple[bool, bool, bool, int]:
        meet(i)
        return (
            torch.is_grad_enabled(),
            torch.is_inference_mode_enabled(),
            torch.is_autocast_enabled("cpu"),
            variable.get(),
        )

    assert set(each(seen, range(3))) == {(True, False, False, 7)}
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert set(each(seen, range(3))) == {(False, False, True, 7)}
    with torch.inference_mode():
        assert set(each(seen, range(3))) == {(False, True, False, 7)}


def test_gradients_of_parts_of_a_batch_add_up_in_one_order():
    """What a training can do: each part has its own gradient, summed in the order of the parts."""
    x, weight = torch.randn(6, 5), torch.randn(5, requires_grad=True)

    def gradient(part: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad((part @ weight).square().sum(), weight)[0]

    total = sum(each(gradient, x.split(2)))
    expected = torch.autograd.grad((x @ weight).square().sum(), weight)[0]
    torch.testing.assert_close(total, expected)


def test_watch_is_told_of_every_item_once():
    told: list[tuple[int, int]] = []
    each(lambda i: i, range(7), watch=lambda done, total: told.append((done, total)))
    assert told == [(done, 7) for done in range(1, 8)]


def test_what_a_watch_raises_ends_the_work():
    def stop(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        each(lambda i: i, range(7), watch=stop)


def test_callers_in_several_threads_do_not_wait_for_each_other():
    results: list[list[int]] = []
    threads = [threading.Thread(target=lambda: results.append(each(lambda i: i * i, range(20)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert results == [[i * i for i in range(20)]] * 4
    torch.set_num_threads(3)


def test_only_what_lies_on_a_cpu_outside_gradients_and_transforms_is_shared():
    x = torch.zeros(2)
    assert not workers.shareable(x)
    with torch.no_grad():
        assert workers.shareable(x)
        seen: list[bool] = []
        torch.func.vmap(lambda y: (seen.append(workers.shareable(y)), y)[1])(x)
        assert seen == [False]
        assert not workers.shareable(torch.zeros(1, device="meta"))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    each(rendezvous(3), range(3))
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, bytes(each(lambda i: i, range(4))))
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 9) == bytes(range(4))
