"""The U-Net backbone."""

import math

from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.model.networks.everywhere import Everywhere, Size, optional, zero


class UNet(Everywhere):
    """A U-Net: two or three resolutions, each half of the one before (Ronneberger et al. 2015, arXiv:1505.04597).

    It is the ``UNet2DModel`` of diffusers without attention, its convolutions wrapped around or mirrored at the edges
    (half a site beyond them). The normalization of groups of channels (Wu & He 2018, arXiv:1803.08494) takes means over
    the whole lattice, so it is not a local network, however few its layers. On a periodic lattice whose sides 2 to the
    number of halvings divides it is covariant under translations by that; on others nearly.
    """

    def __init__(self, size: Size) -> None:
        super().__init__(size)
        width, blocks = size.width, size.blocks
        resolutions, depth = blocks
        if resolutions not in (2, 3) or depth < 1 or width < 2:
            raise InputError(
                f"blocks = {blocks}, width = {width}; the backbone 'unet' has 2 or 3 resolutions (encoder blocks) of "
                "at least one block (decoder blocks), and a width of 2 or more"
            )
        if len(set(size.boundaries)) > 1:
            raise InputError(
                f"the boundaries of the axes are {', '.join(size.boundaries)}; the backbone 'unet' has one for all "
                "axes, conv, dit and fno take any"
            )
        self.unit = 2 ** (resolutions - 1)
        self.net = optional("diffusers.models.unets.unet_2d", "unet").UNet2DModel(
            in_channels=size.inputs,
            out_channels=size.channels,
            block_out_channels=(width, 2 * width, 2 * width)[:resolutions],
            layers_per_block=depth,
            down_block_types=("DownBlock2D",) * resolutions,
            up_block_types=("UpBlock2D",) * resolutions,
            norm_num_groups=math.gcd(width, max(1, width // 4)),
            add_attention=False,
        )
        for module in self.net.modules():
            if isinstance(module, nn.Conv2d):
                module.padding_mode = "circular" if size.boundaries[0] == "periodic" else "replicate"
        zero(self.net.conv_out)

    def sides(self, lattice: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(n + -n % self.unit for n in lattice)

    def see(self, x: Float[Tensor, "B S *L"], t: Float[Tensor, " B"]) -> Float[Tensor, "B C *L"]:
        return self.net(x, 1000 * t, return_dict=False)[0]
