"""The backbones by name: a closed list, so that one cascade can be trained with each of them, level by level.

``conv`` is the local network of this package. The others look everywhere; their layers come from packages of the extra
``rgdm[backbones]``, which are imported when one is made.
"""

import abc
import importlib
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.forward_ad import unpack_dual
from torch.nn.attention import SDPBackend, sdpa_kernel

from rgdm.model.networks import Backbone, LocalConvNet
from rgdm.scale.boundary import Boundary, check_boundary

BackboneKind = Literal["conv", "unet", "dit", "fno"]
PATCH = 2
"""Sites along each axis that are one token of the transformer."""
MODES = {1: 32, 2: 8, 3: 4}
"""Largest wavenumber along each axis that the Fourier operator mixes channels of, by dimension."""


def make_backbone(
    kind: BackboneKind,
    channels: int,
    condition_channels: int,
    dimension: int,
    boundary: Boundary,
    width: int,
    blocks: tuple[int, int],
) -> Backbone:
    """An untrained backbone; it returns exactly 0, so that the linear-Gaussian estimate is left alone.

    Args:
        kind: ``conv``, ``unet``, ``dit`` or ``fno``.
        channels: of the noisy state, and of what is returned.
        condition_channels: of the condition.
        dimension: 1, 2 or 3; ``unet`` and ``dit`` have 2.
        boundary: what lies beyond the edges.
        width: channels inside; a multiple of 4 for ``dit``.
        blocks: those of encoder and decoder. ``conv`` has both; ``unet`` has as many resolutions as there are encoder
            blocks, 2 or 3, with as many residual blocks each as there are decoder blocks; ``dit`` and ``fno``
            have as many layers as there are blocks of both.
    """
    _check_kind(kind)
    fitting = [other for other in get_args(BackboneKind) if dimension in _dimensions(other)]
    if kind not in fitting:
        raise ValueError(
            f"the backbone {kind!r} is for {' or '.join(map(str, _dimensions(kind)))} dimensions, not {dimension}"
            + (f"; {' and '.join(fitting)} would fit" if fitting else "")
        )
    size = channels, condition_channels, dimension, check_boundary(boundary), width
    if kind == "conv":
        return LocalConvNet(*size, *blocks)
    if min(channels, width) < 1 or condition_channels < 0 or min(blocks) < 0 or sum(blocks) < 1:
        raise ValueError(
            f"channels = {channels}, condition_channels = {condition_channels}, width = {width}, blocks = {blocks}; "
            f"the backbone {kind!r} needs a channel, a width of one and a block at least"
        )
    return {"unet": UNet, "dit": Transformer, "fno": FourierOperator}[kind](*size, blocks)


def reach(kind: BackboneKind, blocks: tuple[int, int]) -> int | None:
    """How many sites away one pass of encoder or decoder looks, at most; None: everywhere."""
    _check_kind(kind)
    return 2 + 2 * max(blocks) if kind == "conv" else None


def multiply_adds(
    backbone: "LocalConvNet | Everywhere", lattice: Sequence[int], condition_channels: int
) -> tuple[int, int]:
    """Multiplications with an addition for one field: of ``encode``, once a level, and of each ``forward``.

    Counted from shapes, nothing is computed. Those of convolutions, matrix products, attention and Fourier transforms
    (half of ``5 N log2 N`` operations for N complex values, a quarter for real ones); not those of pointwise functions.
    The lattice is seen as a whole: strips, as :func:`~rgdm.model.networks.in_strips` makes them, have halos on top.
    """
    from torch._subclasses import FakeTensorMode
    from torch.utils.flop_counter import FlopCounterMode  # slow to import, and rarely needed

    channels = backbone.entry.weight.shape[1] if isinstance(backbone, LocalConvNet) else backbone.channels
    counter, like = partial(FlopCounterMode, display=False, custom_mapping=_transforms()), next(backbone.parameters())
    with FakeTensorMode(allow_non_fake_inputs=True), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        x, condition = (like.new_zeros(1, count, *lattice) for count in (channels, condition_channels))
        with counter() as encoding:
            features = backbone.encode(condition)
        with counter() as each:
            backbone(x, like.new_zeros(1), features)
    return encoding.get_total_flops() // 2, each.get_total_flops() // 2


def _transforms() -> dict[Any, Callable[..., int]]:
    """Operations of Fourier transforms, from the shapes of what they are given and make."""

    def operations(shape: Sequence[int], axes: Sequence[int]) -> int:
        return int(5 * math.prod(shape) * math.log2(max(2, math.prod(shape[axis] for axis in axes))))

    return {
        torch.ops.aten._fft_r2c: lambda shape, axes, *_, **__: operations(shape, axes) // 2,
        torch.ops.aten._fft_c2r: lambda _, axes, *__, out_shape, **___: operations(out_shape, axes) // 2,
        torch.ops.aten._fft_c2c: lambda shape, axes, *_, **__: operations(shape, axes),
    }


def optional(module: str, needed_by: str) -> Any:
    """A module of the extra ``backbones``; ``ValueError`` if its package is not installed or not in order."""
    name = module.split(".")[0]
    package = {"neuralop": "neuraloperator"}.get(name, name)
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == name
        state = "is not installed" if missing else f"cannot be imported ({error})"
        raise MissingPackageError(
            f"the backbone {needed_by!r} needs {package}, which {state}; pip install 'rgdm[backbones]'"
        ) from error


class MissingPackageError(ValueError):
    """A backbone needs a package that is not there."""


class Everywhere(Backbone):
    """A network that looks everywhere: it is shown the condition beside the noisy state, and the whole lattice at once.

    Never in strips, so its memory grows with the lattice; and what it makes of a site depends on the lattice,
    so it should be trained on lattices of the size, or near the size, that it is to serve. A lattice whose sides do not
    suit it is continued beyond its edges, and what is made there is cut off again.
    """

    def __init__(self, channels: int, condition_channels: int, dimension: int, boundary: Boundary) -> None:
        super().__init__()
        self.channels, self.condition_channels, self.dimension = channels, condition_channels, dimension
        self.boundary: Boundary = boundary

    def forward(
        self, x: Float[Tensor, "B C *L"], t: Float[Tensor, " B"], features: Float[Tensor, "B W *L"] | None = None
    ) -> Float[Tensor, "B C *L"]:
        if features is None:
            features = x.new_zeros(len(x), self.condition_channels, *x.shape[2:])
        seen, inside = _continued(torch.cat([x, features], 1), self.sides(tuple(x.shape[2:])), self.boundary)
        return self.see(seen, t)[inside]

    @abc.abstractmethod
    def sides(self, lattice: tuple[int, ...]) -> tuple[int, ...]:
        """The smallest lattice around this one that suits the network."""

    @abc.abstractmethod
    def see(self, x: Float[Tensor, "B S *L"], t: Float[Tensor, " B"]) -> Float[Tensor, "B C *L"]:
        """What the network makes of state and condition."""


class UNet(Everywhere):
    """A U-Net: two or three resolutions, each half of the one before (Ronneberger et al. 2015, arXiv:1505.04597).

    It is the ``UNet2DModel`` of diffusers without attention, its convolutions wrapped around or mirrored at the edges
    (half a site beyond them). The normalization of groups of channels (Wu & He 2018, arXiv:1803.08494) takes means over
    the whole lattice, so it is not a local network, however few its layers. On a periodic lattice whose sides 2 to the
    number of halvings divides it is covariant under translations by that; on others nearly.
    """

    def __init__(
        self,
        channels: int,
        condition_channels: int,
        dimension: int,
        boundary: Boundary,
        width: int,
        blocks: tuple[int, int],
    ) -> None:
        super().__init__(channels, condition_channels, dimension, boundary)
        resolutions, depth = blocks
        if resolutions not in (2, 3) or depth < 1 or width < 2:
            raise ValueError(
                f"blocks = {blocks}, width = {width}; the backbone 'unet' has 2 or 3 resolutions (encoder blocks) of "
                "at least one block (decoder blocks), and a width of 2 or more"
            )
        self.unit = 2 ** (resolutions - 1)
        self.net = optional("diffusers.models.unets.unet_2d", "unet").UNet2DModel(
            in_channels=channels + condition_channels,
            out_channels=channels,
            block_out_channels=(width, 2 * width, 2 * width)[:resolutions],
            layers_per_block=depth,
            down_block_types=("DownBlock2D",) * resolutions,
            up_block_types=("UpBlock2D",) * resolutions,
            norm_num_groups=math.gcd(width, max(1, width // 4)),
            add_attention=False,
        )
        for module in self.net.modules():
            if isinstance(module, nn.Conv2d):
                module.padding_mode = "circular" if boundary == "periodic" else "replicate"
        _zero(self.net.conv_out)

    def sides(self, lattice: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(n + -n % self.unit for n in lattice)

    def see(self, x: Float[Tensor, "B S *L"], t: Float[Tensor, " B"]) -> Float[Tensor, "B C *L"]:
        return self.net(x, 1000 * t, return_dict=False)[0]


class Transformer(Everywhere):
    """A diffusion transformer (Peebles & Xie 2023, arXiv:2212.09748), whose tokens are patches of 2 x 2 sites.

    It is the ``PixArtTransformer2DModel`` of diffusers (Chen et al. 2023, arXiv:2310.00426) without text: time enters
    as a scale, a shift and a gate per channel. Every token attends to every other: the work grows with the square of
    the number of sites, and so does the memory where attention has no fused kernel (derivatives in forward mode,
    double precision on a GPU). Positions enter as rotations of queries and keys (Su et al. 2021, arXiv:2104.09864), by
    angles ``2 pi m x / L`` with whole m on a periodic lattice: only differences of positions matter, and these modulo
    L, so with sides that the patch divides it is covariant under translations by a patch. With edges L is twice the
    side.
    """

    def __init__(
        self,
        channels: int,
        condition_channels: int,
        dimension: int,
        boundary: Boundary,
        width: int,
        blocks: tuple[int, int],
    ) -> None:
        super().__init__(channels, condition_channels, dimension, boundary)
        if width % 4:
            near = " or ".join(str(w) for w in (width - width % 4, width + -width % 4) if w)
            raise ValueError(f"width = {width}; the backbone 'dit' needs a multiple of 4, such as {near}")
        self.head = math.gcd(width, 16)
        self.net = optional("diffusers.models.transformers.pixart_transformer_2d", "dit").PixArtTransformer2DModel(
            num_attention_heads=width // self.head,
            attention_head_dim=self.head,
            in_channels=channels + condition_channels,
            out_channels=channels,
            num_layers=sum(blocks),
            cross_attention_dim=None,
            sample_size=PATCH,
            patch_size=PATCH,
            use_additional_conditions=False,
        )
        self.net.pos_embed.pos_embed = None
        self.net.set_attn_processor(RotaryAttention())
        _zero(self.net.proj_out)

    def sides(self, lattice: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(n + -n % PATCH for n in lattice)

    def see(self, x: Float[Tensor, "B S *L"], t: Float[Tensor, " B"]) -> Float[Tensor, "B C *L"]:
        angles = self.angles(tuple(n // PATCH for n in x.shape[2:]), x.device)
        rotation = {"rotation": (angles.cos().to(x), angles.sin().to(x))}
        return self.net(x, timestep=1000 * t, cross_attention_kwargs=rotation, return_dict=False)[0]

    def angles(self, tokens: tuple[int, ...], device: torch.device) -> Float[Tensor, "N H"]:
        """By what each token's pairs of channels are turned: near periods of 4, 8, 16, ... tokens on every lattice."""
        per_axis = []
        for n in tokens:
            period = n if self.boundary == "periodic" else 2 * n
            waves = [max(1, round(period / 2 ** (2 + j))) for j in range(self.head // 4)]
            place = torch.arange(n, device=device, dtype=torch.float64)
            per_axis.append(2 * math.pi / period * place[:, None] * place.new_tensor(waves))
        rows, columns = per_axis
        both = rows[:, None].expand(-1, len(columns), -1), columns[None].expand(len(rows), -1, -1)
        return torch.cat(both, -1).flatten(0, 1)


class RotaryAttention:
    """Self-attention with positions: how diffusers has its ``Attention`` computed (an attention processor)."""

    def __call__(
        self,
        attention: nn.Module,
        hidden_states: Float[Tensor, "B N W"],
        encoder_hidden_states: None = None,
        attention_mask: None = None,
        temb: None = None,
        rotation: tuple[Tensor, Tensor] | None = None,
    ) -> Float[Tensor, "B N W"]:
        """``rotation`` are cosines and sines, ``(N, H)``; the names of the others are those of diffusers."""
        parts: Any = attention
        assert rotation is not None
        query, key, value = (
            layer(hidden_states).unflatten(-1, (parts.heads, -1)).transpose(1, 2)
            for layer in (parts.to_q, parts.to_k, parts.to_v)
        )
        query, key = _turned(query, *rotation), _turned(key, *rotation)
        return parts.to_out[0](_attend(query, key, value.to(query)).transpose(1, 2).flatten(2))


class FourierOperator(Everywhere):
    """A Fourier neural operator (Li et al. 2021, arXiv:2010.08895), in 1 to 3 dimensions.

    Its layers are those of the ``FNO`` of neuraloperator, their spectral convolutions :class:`SpectralConvolution`.
    Time enters as constant channels. On a periodic lattice it is covariant under all translations; with edges it is
    shown the field and its mirror image, twice as long. What is apart is joined by waves up to ``MODES`` across what it
    is shown, and by no others: its kernels are functions of x / L, and wider on a longer lattice.
    """

    def __init__(
        self,
        channels: int,
        condition_channels: int,
        dimension: int,
        boundary: Boundary,
        width: int,
        blocks: tuple[int, int],
    ) -> None:
        super().__init__(channels, condition_channels, dimension, boundary)
        whole = optional("neuralop.models", "fno").FNO(
            n_modes=(2,) * dimension,
            in_channels=channels + condition_channels + 5,
            out_channels=channels,
            hidden_channels=width,
            n_layers=sum(blocks),
            positional_embedding=None,
            channel_mlp_expansion=1,
        )
        self.entry, self.layers, self.exit = whole.lifting, whole.fno_blocks, whole.projection
        self.layers.convs = nn.ModuleList(SpectralConvolution(width, dimension) for _ in range(sum(blocks)))
        _zero(self.exit.fcs[-1])

    def sides(self, lattice: tuple[int, ...]) -> tuple[int, ...]:
        return lattice if self.boundary == "periodic" else tuple(2 * n for n in lattice)

    def see(self, x: Float[Tensor, "B S *L"], t: Float[Tensor, " B"]) -> Float[Tensor, "B C *L"]:
        with torch.autocast(x.device.type, enabled=False):  # Fourier transforms need full precision
            x = x.to(next(self.parameters()))
            t = t.to(x)[:, None]
            angle = t * (math.pi / 2)
            clock = torch.cat([t, angle.cos(), angle.sin(), (2 * angle).sin(), (4 * angle).cos()], 1)
            clock = clock.reshape(*clock.shape, *[1] * self.dimension).expand(-1, -1, *x.shape[2:])
            h = self.entry(torch.cat([x, clock], 1))
            for index in range(len(self.layers.convs)):
                h = self.layers(h, index)
            return self.exit(h)


class SpectralConvolution(nn.Module):
    """``y_k = W_k x_k`` for wavenumbers up to ``MODES`` along each axis, and 0 above; W_k is a matrix over channels.

    Its weights are pairs of real numbers. (Those of neuraloperator 2.0 are complex, which fused optimizers refuse; it
    computes in single precision only, and takes the modes of lattices of odd sides for those next to them.)
    """

    def __init__(self, width: int, dimension: int) -> None:
        super().__init__()
        self.most = MODES[dimension]
        modes = [2 * self.most + 1] * (dimension - 1) + [self.most + 1]
        self.weight = nn.Parameter(torch.randn(2, width, width, *modes) / math.sqrt(2 * width))
        self.bias = nn.Parameter(torch.zeros(width, *[1] * dimension))

    def transform(self, x: Float[Tensor, "B W *L"], output_shape: None = None) -> Float[Tensor, "B W *L"]:
        """The field on the lattice of the output, which is the same: the blocks of neuraloperator ask for it."""
        return x

    def forward(self, x: Float[Tensor, "B W *L"], output_shape: None = None) -> Float[Tensor, "B W *L"]:
        lattice, axes = list(x.shape[2:]), list(range(2, x.dim()))
        waves = torch.fft.rfftn(x, dim=axes, norm="forward")
        place, weight, grid = torch.zeros((), dtype=torch.long, device=x.device), self.weight, waves.shape[2:]
        for axis, n in enumerate(lattice):
            last = axis == len(lattice) - 1
            low = 0 if last else -min(self.most, (n - 1) // 2)
            wavenumber = torch.arange(low, min(self.most, n // 2) + 1, device=x.device)
            weight = weight.index_select(3 + axis, wavenumber % self.weight.shape[3 + axis])
            place = place[..., None] * grid[axis] + wavenumber % grid[axis]
        place, (real, imaginary) = place.flatten(), weight.flatten(3)
        kept = waves.flatten(2).index_select(2, place)

        def mixed(part: Tensor, matrices: Tensor) -> Tensor:
            return torch.einsum("bim,iom->bom", part, matrices)

        out = torch.complex(
            mixed(kept.real, real) - mixed(kept.imag, imaginary), mixed(kept.real, imaginary) + mixed(kept.imag, real)
        )
        out = torch.zeros_like(waves).flatten(2).index_copy(2, place, out).reshape(waves.shape)
        return self._back(out, lattice) + self.bias

    def _back(self, waves: Tensor, lattice: list[int]) -> Tensor:
        """To sites. Waves that are their own mirror image have a real part only, which not every library sees to."""
        if len(lattice) > 1:
            waves = torch.fft.ifftn(waves, dim=list(range(2, 1 + len(lattice))), norm="forward")
        place = torch.arange(waves.shape[-1], device=waves.device)
        waves = torch.complex(waves.real, waves.imag * (2 * place % lattice[-1] != 0))
        return torch.fft.irfft(waves, n=lattice[-1], norm="forward")


def _check_kind(kind: str) -> None:
    if kind not in get_args(BackboneKind):
        raise ValueError(f"unknown backbone {kind!r}; known are {', '.join(get_args(BackboneKind))}")


def _dimensions(kind: str) -> tuple[int, ...]:
    return (2,) if kind in ("unet", "dit") else (1, 2, 3)


def _zero(layer: Any) -> None:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)


def _continued(x: Tensor, sides: tuple[int, ...], boundary: Boundary) -> tuple[Tensor, tuple[slice, ...]]:
    """The field on a lattice of these sides, and where in it the given one lies."""
    inside = [slice(None), slice(None)]
    for axis, (n, side) in enumerate(zip(x.shape[2:], sides, strict=True), start=2):
        before = (side - n) // 2
        inside.append(slice(before, before + n))
        if side > n:
            place = torch.arange(-before, side - before, device=x.device) % (n if boundary == "periodic" else 2 * n)
            x = x.index_select(axis, torch.minimum(place, 2 * n - 1 - place))
    return x, tuple(inside)


def _turned(x: Float[Tensor, "B A N D"], cosine: Float[Tensor, "N H"], sine: Float[Tensor, "N H"]) -> Tensor:
    """Each pair of channels as a vector in the plane, turned."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cosine - b * sine, a * sine + b * cosine], -1)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention; the fused kernels have no derivative in forward mode."""
    moving = any(unpack_dual(x).tangent is not None for x in (query, key, value))
    with sdpa_kernel(SDPBackend.MATH) if moving else nullcontext():
        return F.scaled_dot_product_attention(query, key, value)
