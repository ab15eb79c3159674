"""What the texture of the coarse field looks like around each site, told to a network by local scattering."""

from jaxtyping import Float
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.scale.boundary import Boundaries, boundary_of_each
from rgdm.scale.scattering.coefficients import Scattering

MOST = 3
"""Most scales: coefficients of 3 scales look about 20 sites away, as far as the halo of a patch."""


class Texture(nn.Module):
    """Logarithms of the local scattering coefficients of first and second order, for each channel of the field.

    ``log(||x * psi_1| * psi_2| * phi_J + floor)``: how strong the field is around a site in each band and direction,
    and how much that strength varies. They are made of the whole lattice by Fourier transforms.
    """

    def __init__(self, scales: int, dimension: int, boundary: Boundaries) -> None:
        super().__init__()
        if scales > MOST:
            raise InputError(
                f"texture of {scales} scales looks farther than training shows around a patch; {MOST} is the most"
            )
        self.scattering = Scattering(scales, boundary=boundary)
        self.count = len(self.scattering.names(dimension)) - 1
        """Numbers for each site and channel of the field."""

    def forward(self, x: Float[Tensor, "B C *K"], floor: Float[Tensor, " C"]) -> Float[Tensor, "B G *K"]:
        """The features; ``floor``, one a channel, is the size below which a coefficient counts as nothing."""
        local = self.scattering.local(x)[:, :, 1:].to(x)
        return (local.clamp(min=0) + floor.to(x).reshape(1, -1, *[1] * (local.dim() - 2))).log().flatten(1, 2)

    @staticmethod
    def bytes_a_site(scales: int, dimension: int, boundary: Boundaries) -> int:
        """Bytes that the coefficients take at their peak for each site and channel, on the safe side."""
        scattering = Scattering(scales, boundary=boundary)
        torus = 2 ** boundary_of_each(boundary, dimension).count("reflect")
        return 8 * len(scattering.names(dimension)) + 28 * torus * scales * scattering.angles
