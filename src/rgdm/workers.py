"""Whole pieces of work on a few threads, each of which computes alone.

PyTorch by itself shares every operation among the cores and waits, thousands of times a field, until all have done
their part; where another process holds one of the cores, everything waits for it. Here a thread takes a whole piece
(a tile of a field, a field, a part of a batch), computes it alone, and takes the next. Whoever calls works too, and
so do the calls that a piece makes in turn: idle threads help where something is left. No more threads than
``torch.get_num_threads()`` are ever at work, and what comes out does not depend on how many there are.
"""

import contextvars
import functools
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from rgdm.watch import Watch

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Here(threading.local):
    """How many threads may be at work for this one; None: PyTorch shares its operations as it likes."""

    width: int | None = None


_here = _Here()


@contextmanager
def alone() -> Iterator[int]:
    """Operations in here are not shared among threads; pieces handed to :func:`each` are. Says among how many.

    Around a computation that calls :func:`each` again and again, so that its operations in between make nobody wait,
    and their sums have one order.
    """
    if _here.width is not None:
        yield _here.width
        return
    width = torch.get_num_threads()
    _here.width = width
    if width > 1:
        torch.set_num_threads(1)  # of this thread, and of threads to come
    try:
        yield width
    finally:
        _here.width = None
        if width > 1:
            torch.set_num_threads(width)


def each(
    function: Callable[[Item], Result], items: Sequence[Item], most: int | None = None, watch: Watch | None = None
) -> list[Result]:
    """``[function(item) for item in items]``, computed by ``torch.get_num_threads()`` threads that take one at a time.

    The results stand in the order of the items, and have the same bits for any number of threads, as long as no item
    changes what another reads. (Random numbers must come from a generator of the item's own.) Items see whether
    gradients are enabled, the autocast of the CPU and context variables as the caller does. A piece may call ``each``
    itself.

    Args:
        function: of one item; PyTorch and NumPy let other threads run while they compute, Python itself does not.
        items: taken in their order.
        most: items that are worked on at a time at most, for their memory; None: as many as there are threads.
        watch: called with the number of finished items and of all, by one thread at a time.

    Raises:
        Exception: of the first item, in their order, that raised one. None is taken after that, and none is still
            running when it is raised; nor after ``KeyboardInterrupt``.
    """
    with alone() as width:
        work = _Work(function, items, watch)
        helpers = min(width, len(items), width if most is None else most) - 1
        if helpers < 1:
            work.run()
        else:
            _crew(width).share(work, helpers)
        return work.outcome()


def watched() -> bool:
    """Whether PyTorch looks on: gradients are enabled, or a transform of functions (vmap, jvp) is at work."""
    stack = torch._C._functorch.peek_interpreter_stack()  # pyright: ignore[reportAttributeAccessIssue]
    return torch.is_grad_enabled() or stack is not None


def shareable(*tensors: Tensor) -> bool:
    """Whether pieces of these may go to other threads: on a CPU, where nothing looks on."""
    return not watched() and all(x.device.type == "cpu" for x in tensors)


class _Work(Generic[Item, Result]):
    """Items that are taken one after the other, by whoever has time."""

    def __init__(self, function: Callable[[Item], Result], items: Sequence[Item], watch: Watch | None) -> None:
        self.function, self.items, self.watch = function, items, watch
        self.results: dict[int, Result] = {}
        self.error: tuple[int, BaseException] | None = None
        self.next, self.open, self.lock = 0, True, threading.Lock()
        self.surroundings = _surroundings()

    def run(self) -> None:
        """Take items until none is left, or one has failed."""
        while (i := self._take()) is not None:
            try:
                result = self.function(self.items[i])
                with self.lock:
                    self.results[i] = result
                    if self.watch:
                        self.watch(len(self.results), len(self.items))
            except Exception as error:
                self._fail(i, error)

    def help(self) -> None:
        """As :meth:`run`, in another thread, where the caller is to see whatever is raised."""
        try:
            self.surroundings(self.run)
        except BaseException as error:
            self._fail(self.next, error)

    def outcome(self) -> list[Result]:
        if self.error is not None:
            raise self.error[1]
        return [self.results[i] for i in range(len(self.items))]

    def _take(self) -> int | None:
        with self.lock:
            if not self.open or self.next >= len(self.items):
                return None
            self.next += 1
            return self.next - 1

    def _fail(self, i: int, error: BaseException) -> None:
        with self.lock:
            self.open = False
            if self.error is None or i < self.error[0]:
                self.error = i, error


class _Crew:
    """Threads that wait for work to share, all but one of those that may be at work: the caller is the other."""

    def __init__(self, width: int) -> None:
        self.width, self.news = width, threading.Condition()
        self.shared: list[_Seats] = []
        ready = threading.Barrier(width)
        for _ in range(width - 1):
            threading.Thread(target=self._serve, args=(ready,), name="rgdm-worker", daemon=True).start()
        ready.wait()

    def share(self, work: _Work[Any, Any], helpers: int) -> None:
        """Run it together with at most so many helpers; all of them have left it at the end."""
        seats = _Seats(work, helpers)
        with self.news:
            self.shared.append(seats)
            self.news.notify_all()
        try:
            work.run()
        finally:
            work.open = False
            with self.news:
                self.shared.remove(seats)
                while seats.taken:
                    self.news.wait()

    def _serve(self, ready: threading.Barrier) -> None:
        torch.set_num_threads(1)
        _here.width = self.width
        ready.wait()
        while True:
            with self.news:
                while (seats := self._vacant()) is None:
                    self.news.wait()
                seats.taken += 1
            seats.work.help()
            with self.news:
                seats.taken -= 1
                self.news.notify_all()
            del seats  # a thread that waits keeps no fields

    def _vacant(self) -> "_Seats | None":
        """What began last is shared first: others wait for it."""
        for seats in reversed(self.shared):
            work = seats.work
            if seats.taken < seats.helpers and work.open and work.next < len(work.items):
                return seats
        return None


class _Seats:
    """How many may help with a piece of work, and how many do."""

    def __init__(self, work: _Work[Any, Any], helpers: int) -> None:
        self.work, self.helpers, self.taken = work, helpers, 0


def _surroundings() -> Callable[[Callable[[], None]], None]:
    """Calls a function in another thread as if it were called here: gradients, autocast, context variables."""
    gradients, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
    cast, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")
    context = contextvars.copy_context()

    def call(function: Callable[[], None]) -> None:
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode(inference))
            stack.enter_context(torch.set_grad_enabled(gradients))
            stack.enter_context(torch.autocast("cpu", dtype, cast))
            context.copy().run(function)

    return call


_crew = functools.cache(_Crew)
os.register_at_fork(after_in_child=_crew.cache_clear)  # threads do not survive a fork
