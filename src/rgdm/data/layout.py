"""Users' objects to tensors ``(batch, channel, *lattice)`` and back, the same kind out as in."""

import abc
import math
from collections.abc import Hashable, Sequence

import numpy as np
import torch
import xarray as xr
from jaxtyping import Float
from torch import Tensor

from rgdm.data.axes import lattice_axes, note_axes
from rgdm.data.cells.order import check_order
from rgdm.data.conventions import auxiliary_variables, finer_attributes, without_dangling
from rgdm.data.coordinates import finer_steps, plane_steps, refine_coordinates
from rgdm.data.results.encodings import kept_encoding, unlimited
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

    Arrays may be ``(B, C, *L)``, ``(C, *L)`` and, for one channel, ``(B, *L)`` or ``(*L)``. Of a DataArray the axis
    ``channel`` and the lattice axes (:func:`~rgdm.data.axes.lattice_axes`) count, the rest is batch. The variables of a
    Dataset are its channels: those called ``names``, in this order, where there are such (the order of variables in a
    Zarr folder is any), else all that are fields and not bounds or grid mappings of others; axes are matched by name.
    Lattice axes that bear the names of ``axes``, or have the same roles, are taken in that order.
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
        steps = finer_steps(self.lattice, factors, places)
        member = new_axis(self.source)
        coords = refine_coordinates(self.source, steps).assign({member: numbered(self.source, member, len(members))})
        attrs = finer_attributes(self.source.attrs, plane_steps(self.source, steps))
        values = self.variable(members, member)
        fine = xr.DataArray(values, coords=coords, name=self.source.name, attrs=attrs)
        fine.encoding = kept_encoding(self.source.encoding, values.values)
        return without_dangling(fine)

    def variable(self, members: Float[Tensor, "M B C *F"], member: str) -> xr.Variable:
        """The values with the axes of the source, and one of members before them."""
        source = self.source
        channel = ["channel"] if "channel" in source.dims else []
        leading = [source.sizes[name] for name in [*self.batch, *channel]]
        values = members.detach().to(self.dtype).cpu().numpy().reshape(len(members), *leading, *members.shape[3:])
        return xr.Variable([member, *self.batch, *channel, *self.lattice], values).transpose(member, *source.dims)


class DatasetLayout(Layout):
    """A Dataset: one layout for each variable, which is a channel."""

    def __init__(self, source: xr.Dataset, variables: dict[Hashable, DataArrayLayout]) -> None:
        self.source, self.variables = source, variables

    def wrap(
        self, members: Float[Tensor, "M B C *F"], factors: Sequence[int], places: Sequence[float] | None = None
    ) -> xr.Dataset:
        source, first = self.source, next(iter(self.variables.values()))
        steps, member = finer_steps(first.lattice, factors, places), new_axis(source)
        auxiliary = [name for name in auxiliary_variables(source) if name not in self.variables]
        placed = source.set_coords(auxiliary)
        coords = refine_coordinates(placed, steps).assign({member: numbered(source, member, len(members))})
        plane = plane_steps(source, steps)
        fields = {}
        for (name, layout), channel in zip(self.variables.items(), members.split(1, 2), strict=True):
            fields[name] = layout.variable(channel, member)
            fields[name].attrs = finer_attributes(layout.source.attrs, plane)
            fields[name].encoding = kept_encoding(layout.source.encoding, fields[name].values)
        fine = xr.Dataset(fields, coords=coords, attrs=finer_attributes(source.attrs, plane))
        there = [name for name in auxiliary if name in fine.coords and name in source.data_vars]
        fine = without_dangling(fine.reset_coords(there))
        fine.encoding = unlimited(source, fine.sizes)
        return fine


def new_axis(source: xr.DataArray | xr.Dataset) -> str:
    """The name of the axis of members: an ensemble can be refined again, and its own members keep their name."""
    taken = {str(name) for name in (*source.dims, *source.coords)}
    taken |= {str(name) for name in source.data_vars} if isinstance(source, xr.Dataset) else set()
    names = ("member", "refinement", *(f"refinement_{i}" for i in range(2, len(taken) + 3)))
    return next(name for name in names if name not in taken)


def numbered(source: xr.DataArray | xr.Dataset, member: str, count: int) -> xr.Variable:
    """The coordinate of an axis of members, by its standard name unless the source has an axis of this name."""
    taken = any(c.attrs.get("standard_name") == "realization" for c in source.coords.values())
    return xr.Variable([member], np.arange(count), {} if taken else {"standard_name": "realization", "units": "1"})


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
    values = floating(obj).detach()
    return values.reshape(-1, channels, *lattice), ArrayLayout(obj, values.dtype, shape[:extra])


def _unwrap_data_array(
    obj: xr.DataArray, channels: int, dimension: int, axes: Sequence[Hashable]
) -> tuple[Tensor, DataArrayLayout]:
    batch, lattice = lattice_axes(obj, dimension, order=axes)
    found = obj.sizes.get("channel", 1)
    if found != channels:
        remedy = "" if "channel" in obj.dims else "; name the axis of channels 'channel'"
        raise InputError(f"the DataArray of dims {obj.dims} has {found} channel(s); the model has {channels}{remedy}")
    note_axes(obj, lattice)
    check_order(obj, lattice)
    return _arranged(obj, batch, lattice)


def _arranged(obj: xr.DataArray, batch: list[Hashable], lattice: list[Hashable]) -> tuple[Tensor, DataArrayLayout]:
    channel = ["channel"] if "channel" in obj.dims else []
    values = floating(obj.transpose(*batch, *channel, *lattice).to_numpy())
    sizes = (math.prod(obj.sizes[name] for name in batch), obj.sizes.get("channel", 1))
    tensor = values.reshape(*sizes, *(obj.sizes[name] for name in lattice))
    return tensor, DataArrayLayout(obj, values.dtype, batch, lattice)


def _unwrap_dataset(
    obj: xr.Dataset, channels: int, dimension: int, names: Sequence[str], axes: Sequence[Hashable]
) -> tuple[Tensor, DatasetLayout]:
    auxiliary = auxiliary_variables(obj)
    found = [name for name in obj.data_vars if name not in auxiliary]
    chosen = list(names) if names and set(names) <= set(obj.data_vars) else found
    if len(chosen) != channels:
        raise InputError(f"the Dataset has the variables {found}; the model has {channels} channel(s), one for each")
    shapes = {str(name): dict(obj[name].sizes) for name in chosen}
    if any(shape != shapes[str(chosen[0])] for shape in shapes.values()):
        raise InputError(f"the variables of the Dataset have the shapes {shapes}; channels must have one shape")
    if "channel" in obj[chosen[0]].dims:
        raise InputError(f"the variables {chosen} of the Dataset have an axis 'channel'; give them as one DataArray")
    batch, lattice = lattice_axes(obj[chosen[0]], dimension, order=axes)  # of all: their axes are matched by name
    note_axes(obj[chosen[0]], lattice)
    check_order(obj[chosen[0]], lattice)
    tensors, layouts = [], {}
    for name in chosen:
        tensor, layouts[name] = _arranged(obj[name], batch, lattice)
        tensors.append(tensor)
    common = torch.float64 if any(tensor.dtype == torch.float64 for tensor in tensors) else torch.float32
    return torch.cat([tensor.to(common) for tensor in tensors], 1), DatasetLayout(obj, layouts)


def floating(values: Tensor | np.ndarray) -> Float[Tensor, "*N"]:
    """Real numbers as a tensor of float32, or of float64 where they are that or integers that float32 rounds.

    ``InputError`` for anything that holds no real numbers.
    """
    if not isinstance(values, Tensor | np.ndarray):
        raise InputError(f"a field of type {type(values).__name__}; give a torch tensor or a numpy array")
    if isinstance(values, np.ndarray):
        if values.dtype.kind not in "fiub":
            raise InputError(f"a field of dtype {values.dtype}; it must hold real numbers")
        double = values.dtype.itemsize >= 8 if values.dtype.kind == "f" else _rounded(values)
        return torch.from_numpy(np.array(values, dtype=np.float64 if double else np.float32))
    if values.is_complex():
        raise InputError(f"a field of dtype {values.dtype}; it must hold real numbers")
    double = values.dtype == torch.float64 if values.is_floating_point() else _rounded(values)
    return values.to(torch.float64 if double else torch.float32)


def _rounded(whole: Tensor | np.ndarray) -> bool:
    """Whether float32 may not hold some of these whole numbers."""
    return whole.dtype.itemsize > 2 and math.prod(whole.shape) > 0 and max(-int(whole.min()), int(whole.max())) > 2**24


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
