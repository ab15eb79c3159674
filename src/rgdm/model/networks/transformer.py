"""The transformer backbone: patches as tokens, positions as rotations."""

import math
from contextlib import nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.forward_ad import unpack_dual
from torch.nn.attention import SDPBackend, sdpa_kernel

from rgdm.errors import InputError
from rgdm.model.networks.everywhere import Everywhere, Size, optional, zero

PATCH = 2
"""Sites along each axis that are one token."""


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

    def __init__(self, size: Size) -> None:
        super().__init__(size)
        width, blocks = size.width, size.blocks
        if width % 4:
            near = " or ".join(str(w) for w in (width - width % 4, width + -width % 4) if w)
            raise InputError(f"width = {width}; the backbone 'dit' needs a multiple of 4, such as {near}")
        self.head = math.gcd(width, 16)
        self.net = optional("diffusers.models.transformers.pixart_transformer_2d", "dit").PixArtTransformer2DModel(
            num_attention_heads=width // self.head,
            attention_head_dim=self.head,
            in_channels=size.inputs,
            out_channels=size.channels,
            num_layers=sum(blocks),
            cross_attention_dim=None,
            sample_size=PATCH,
            patch_size=PATCH,
            use_additional_conditions=False,
        )
        self.net.pos_embed.pos_embed = None
        self.net.set_attn_processor(RotaryAttention())
        zero(self.net.proj_out)

    def sides(self, lattice: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(n + -n % PATCH for n in lattice)

    def see(self, x: Float[Tensor, "B S *L"], t: Float[Tensor, " B"]) -> Float[Tensor, "B C *L"]:
        angles = self.angles(tuple(n // PATCH for n in x.shape[2:]), x.device)
        rotation = {"rotation": (angles.cos().to(x), angles.sin().to(x))}
        return self.net(x, timestep=1000 * t, cross_attention_kwargs=rotation, return_dict=False)[0]

    def angles(self, tokens: tuple[int, ...], device: torch.device) -> Float[Tensor, "N H"]:
        """By what each token's pairs of channels are turned: near periods of 4, 8, 16, ... tokens on every lattice."""
        per_axis = []
        for n, boundary in zip(tokens, self.boundaries, strict=True):
            period = n if boundary == "periodic" else 2 * n
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


def _turned(x: Float[Tensor, "B A N D"], cosine: Float[Tensor, "N H"], sine: Float[Tensor, "N H"]) -> Tensor:
    """Each pair of channels as a vector in the plane, turned."""
    a, b = x.chunk(2, -1)
    return torch.cat([a * cosine - b * sine, a * sine + b * cosine], -1)


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax attention; the fused kernels have no derivative in forward mode."""
    moving = any(unpack_dual(x).tangent is not None for x in (query, key, value))
    with sdpa_kernel(SDPBackend.MATH) if moving else nullcontext():
        return F.scaled_dot_product_attention(query, key, value)
