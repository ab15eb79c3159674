"""Diffusion models whose time axis is scale: generate, refine and judge fields that are right at every scale."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rgdm.bias.debias import debias
    from rgdm.model.cascade.cascade import Cascade

__version__ = "0.1.0"
__all__ = ["Cascade", "__version__", "debias"]


def __getattr__(name: str) -> Any:
    """Import torch and xarray only when something is asked for, so that ``rgdm --help`` is quick."""
    if name == "Cascade":
        from rgdm.model.cascade.cascade import Cascade

        return Cascade
    if name == "debias":
        from rgdm.bias.debias import debias

        return debias
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
