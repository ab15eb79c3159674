"""Users' objects to tensors ``(batch, channel, *lattice)`` and back, the same kind out as in."""

import abc
import math
from collections.abc import Hashable, Sequence

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from rgdm.data.axes import lattice_axes, refine_coordinates
from rgdm.errors import InputError


class Layout(abc.ABC):
    """How a user's object was laid out, so that a refined ensemble can take the same form."""

    @abc.abstractmethod
    def wrap(
        self, members: Float[Tensor, "M B C *F"], factors: Sequence[int], places: Sequence[float] | None = None
    ) -> Tensor | np.ndarray | xr.DataArray | xr.Dataset:
        """An ensemble on a lattice that is finer by a factor along each axis, with a leading axis of members.

        A coarse site lies in the middle of its fine ones, unless its place among them is given for each axis.
        """


def unwrap(
    obj: object, channels: int, dimension: int, names: Sequence[str] = (), axes: Sequence[Hashable] = ()
) -> tuple[Float[Tensor, "B C *L"], Layout]:
    """A tensor, numpy array, DataArray or Dataset as a floating-point tensor, and its layout.

    Arrays may be ``(B, C, *L)``, ``(C, *L)`` and, for one channel, ``(B, *L)`` or ``(*L)``.
    Of a DataArray the axis ``channel`` and the last ``dimension`` other ones count, the
    rest is batch. The variables of a Dataset are its channels, in the order of ``names``
    where they bear these names (the order of variables in a Zarr folder is any). Lattice axes that bear the names of
    ``axes`` are taken in that order.
    """
    if isinstance(obj, Tensor | np.ndarray):
        return _unwrap_array(obj, channels, dimension)
    if isinstance(obj, xr.DataArray):
        return _unwrap_data_array(obj, channels, dimension, axes)
    if isinstance(obj, xr.Dataset):
        return _unwrap_dataset(obj, channels, dimension, names, axes)
    raise InputError(
        f"a field of type {type(obj).__name__}; give a torch tensor, a numpy array or an xarray DataArray or Dataset"
    )


class ArrayLayout(Layout):
    """A tensor or numpy array whose axes before the lattice are ``leading``."""

    def __init__(self, like: Tensor | np.ndarray, dtype: torch.dtype, leading: Sequence[int]) -> None:
        self.like, self.dtype, self.leading = like, dtype, tuple(leading)

    def wrap(
        self, members: Float[Tensor, "M B C *F"], factors: Sequence[int], places: Sequence[float] | None = None
    ) -> Tensor | np.ndarray:
        values = members.detach().to(self.dtype).reshape(len(members), *self.leading, *members.shape[3:])
        return values.to(self.like.device) if isinstance(self.like, Tensor) else values.cpu().numpy()


class DataArrayLayout(Layout):
    """A DataArray with its axes of batch and lattice."""

    def __init__(
        self, source: xr.DataArray, dtype: torch.dtype, batch: Sequence[Hashable], lattice: Sequence[Hashable]
    ) -> None:
        self.source, self.dtype, self.batch, self.lattice = source, dtype, list(batch), list(lattice)

    def wrap(
        self, members: Float[Tensor, "M B C *F"], factors: Sequence[int], places: Sequence[float] | None = None
    ) -> xr.DataArray:
        source = self.source
        channel = ["channel"] if "channel" in source.dims else []
        leading = [source.sizes[name] for name in [*self.batch, *channel]]
        values = members.detach().to(self.dtype).cpu().numpy().reshape(len(members), *leading, *members.shape[3:])
        # An ensemble can be refined again: its own members keep their name.
        member = "member" if "member" not in source.dims else "refinement"
        coords = refine_coordinates(source, self.lattice, factors, places)
        coords[member] = ((member,), np.arange(len(members)), {})
        dims = [member, *self.batch, *channel, *self.lattice]
        wrapped = xr.DataArray(values, dims=dims, coords=coords, name=source.name, attrs=dict(source.attrs))
        return wrapped.transpose(member, *source.dims)


class DatasetLayout(Layout):
    """A Dataset: one layout for each variable, which is a channel."""

    def __init__(self, source: xr.Dataset, variables: dict[Hashable, DataArrayLayout]) -> None:
        self.source, self.variables = source, variables

    def wrap(
        self, members: Float[Tensor, "M B C *F"], factors: Sequence[int], places: Sequence[float] | None = None
    ) -> xr.Dataset:
        channels = zip(self.variables.items(), members.split(1, 2), strict=True)
        fields = {name: layout.wrap(channel, factors, places) for (name, layout), channel in channels}
        return xr.Dataset(fields, attrs=dict(self.source.attrs))


def _unwrap_array(obj: Tensor | np.ndarray, channels: int, dimension: int) -> tuple[Tensor, ArrayLayout]:
    extra = obj.ndim - dimension
    shape, lattice = tuple(obj.shape), tuple(obj.shape[max(extra, 0) :])
    fits = (
        (extra == 0 and channels == 1)
        or (extra == 1 and (channels == 1 or shape[0] == channels))
        or (extra == 2 and shape[1] == channels)
    )
    if not fits:
        one = " or (batch, *lattice) or (*lattice)" if channels == 1 else ""
        raise InputError(
            f"an array of shape {shape} does not fit a model of {channels} channel(s) in {dimension} dimension(s); "
            f"give (batch, {channels}, *lattice) or ({channels}, *lattice){one}"
        )
    values = _floating(obj)
    return values.reshape(-1, channels, *lattice), ArrayLayout(obj, values.dtype, shape[:extra])


def _unwrap_data_array(
    obj: xr.DataArray, channels: int, dimension: int, axes: Sequence[Hashable]
) -> tuple[Tensor, DataArrayLayout]:
    batch, lattice = lattice_axes(obj.dims, dimension)
    lattice = list(axes) if set(axes) == set(lattice) else lattice
    found = obj.sizes.get("channel", 1)
    if found != channels:
        remedy = "" if "channel" in obj.dims else "; name the axis of channels 'channel'"
        raise InputError(f"the DataArray of dims {obj.dims} has {found} channel(s); the model has {channels}{remedy}")
    channel = ["channel"] if "channel" in obj.dims else []
    values = _floating(obj.transpose(*batch, *channel, *lattice).to_numpy())
    size = math.prod(obj.sizes[name] for name in batch)
    tensor = values.reshape(size, channels, *(obj.sizes[name] for name in lattice))
    return tensor, DataArrayLayout(obj, values.dtype, batch, lattice)


def _unwrap_dataset(
    obj: xr.Dataset, channels: int, dimension: int, names: Sequence[str], axes: Sequence[Hashable]
) -> tuple[Tensor, DatasetLayout]:
    found = list(obj.data_vars)
    if len(found) != channels:
        raise InputError(f"the Dataset has the variables {found}; the model has {channels} channel(s), one for each")
    tensors, layouts = [], {}
    for name in names if set(names) == set(found) else found:
        tensor, layouts[name] = _unwrap_data_array(obj[name], 1, dimension, axes)
        tensors.append(tensor)
    if len({tensor.shape for tensor in tensors}) > 1:
        shapes = {str(name): obj[name].shape for name in found}
        raise InputError(f"the variables of the Dataset have the shapes {shapes}; channels must have one shape")
    common = torch.float64 if any(tensor.dtype == torch.float64 for tensor in tensors) else torch.float32
    return torch.cat([tensor.to(common) for tensor in tensors], 1), DatasetLayout(obj, layouts)


def _floating(values: Tensor | np.ndarray) -> Tensor:
    """As a tensor; float32 and float64 stay, other real numbers become float32."""
    if isinstance(values, np.ndarray):
        if values.dtype.kind not in "fiub":
            raise InputError(f"a field of dtype {values.dtype}; it must hold real numbers")
        double = values.dtype.kind == "f" and values.dtype.itemsize >= 8
        return torch.from_numpy(np.array(values, dtype=np.float64 if double else np.float32))
    if values.is_complex():
        raise InputError(f"a field of dtype {values.dtype}; it must hold real numbers")
    return values.detach() if values.dtype in (torch.float32, torch.float64) else values.detach().float()


def from_samples(
    values: Float[Tensor, "B C *L"], lattice: Sequence[str], channels: Sequence[str], attrs: dict[str, object]
) -> xr.DataArray:
    """Generated fields as a DataArray ``(sample, channel, *lattice)`` with the names of axes and channels."""
    if len(lattice) != values.dim() - 2 or len(channels) != values.shape[1]:
        raise InputError(
            f"{len(channels)} channel and {len(lattice)} axis names for fields of shape {tuple(values.shape)}"
        )
    return xr.DataArray(
        values.detach().cpu().numpy(),
        dims=("sample", "channel", *lattice),
        coords={"sample": np.arange(len(values)), "channel": list(channels)},
        attrs=dict(attrs),
    )
