"""Running a command in this process, on small fields and models."""

from rgdm.cli import main
from trained import SMALL, walk

__all__ = ["SMALL", "ok", "walk"]


def ok(*arguments: object) -> None:
    assert main([str(a) for a in arguments]) == 0
