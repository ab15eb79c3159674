"""The best local linear prediction of detail from the coarse field."""

import itertools
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from rgdm.errors import InputError
from rgdm.model.closed_form.stencil import Stencil
from rgdm.scale.boundary import Boundaries, extend
from rgdm.scale.coarse_graining import CoarseGraining

PATCH_VALUES = 2**25
"""Values of neighbours that least squares holds in memory at a time."""
RIDGE = 1e-8
"""What least squares adds to the diagonal, in units of the mean square of a neighbour's difference."""
PROBE = 16
"""Coarse sites along each axis of the constant field that tells, in its middle, what detail a constant has."""
NO_DETAIL = 1e-6
"""Detail of the constant field 1 that counts as none."""
BESIDE = 1
"""Radius of the stencil on what is beside the field, in coarse sites."""
FOLDS = 4
"""Strips of space, and stretches of time, each of which is predicted from the others, to find how much companions are
to be believed."""
FIRM = (0.0, 0.01, 0.1, 1.0, 10.0, 1e6)
"""What may be added to the diagonal of companions, in units of it; the last leaves them out."""


def detail_of_constant(operator: CoarseGraining, dimension: int) -> tuple[float, ...]:
    """The detail of each band, far from edges, where the coarse field is 1: 0 of block means, 1 of decimation."""
    ones = torch.ones(1, 1, *(PROBE * b for b in operator.factors(dimension)), dtype=torch.float64)
    with torch.no_grad():
        coarse, detail = operator.split(ones)
    middle = (0, slice(None), *(PROBE // 2,) * dimension)
    bands = detail[middle] / coarse[middle]
    return tuple(bands.where(bands.abs() > NO_DETAIL, 0.0).tolist())


class LinearPrediction(Stencil):
    """The best local linear prediction of detail from the coarse field, ``G * coarse``.

    A band whose detail of a constant field is 0 sees the differences of the neighbours from the centre site only, so
    that adding a constant to the coarse field (an arbitrary zero of the scale) changes no detail. Where a constant has
    detail, as where sites are dropped, the value of the centre site is a predictor too; kriging calls the two ordinary
    and simple (Cressie 1993, Statistics for Spatial Data, 3.2 and 3.4.5).

    Companions of the field predict its detail too, as orography does that of temperature: by the differences of
    neighbours of their coarse part, and by their details. How much is believed of that is found by ridge regression
    (Hoerl and Kennard 1970, Technometrics 12, 55), for each band with the penalty that predicts strips of space best
    from the others: samples of one place are many and still one place. What companions say is never more than the most
    that it was in the fit.

    Where the time of the year or of the day is known, the detail of companions also predicts as much as cosine and sine
    of it, with a penalty of its own: each strip of space in one stretch of the samples is predicted from the other
    strips in the other stretches.

    Args:
        channels: of the coarse field.
        constant: the detail of the coarse field 1 in each band of a channel (:func:`detail_of_constant`).
        dimension: 1, 2 or 3.
        radius: of the stencil, in coarse sites.
        boundary: of each axis.
        companions: how many there are.
        clock: how many cosines and sines of the time there are.
    """

    most: Tensor
    """The largest that companions said of each band in the fit."""

    def __init__(
        self,
        channels: int,
        constant: Sequence[float],
        dimension: int,
        radius: int,
        boundary: Boundaries,
        companions: int = 0,
        clock: int = 0,
    ) -> None:
        super().__init__(channels, channels * len(constant), dimension, radius, boundary)
        self.constant, self.companions = tuple(constant), companions
        self.always, self.changing = companions * (1 + len(constant)), companions * len(constant) * clock
        size = self.always + self.changing
        self.of_companions = Stencil(size, len(self.kernel), dimension, BESIDE, boundary) if companions else None
        if companions:
            self.register_buffer("most", torch.zeros(len(self.kernel)))

    def forward(self, x: Float[Tensor, "B C *L"], beside: Float[Tensor, "B E *L"] | None = None) -> Tensor:
        """The detail ``(B, D, *L)``, given the coarse field and what is beside it (:class:`Setting.features`)."""
        predicted = super().forward(x)
        if self.of_companions is None:
            return predicted
        if beside is None:
            raise InputError(f"{self.companions} companions are missing, which the prediction was fitted with")
        most = self.most.to(predicted).reshape(-1, *[1] * (x.dim() - 2))
        return predicted + self._said(self.of_companions, beside).clamp(-most, most)

    def _said(self, of_companions: Stencil, beside: Float[Tensor, "B E *L"]) -> Float[Tensor, "B D *L"]:
        """What companions say; the clock alone, which has no detail, says nothing."""
        return of_companions(beside[:, : self.always + self.changing])

    def fit(
        self,
        coarse: Float[Tensor, "B C *K"],
        detail: Float[Tensor, "B D *K"],
        present: Float[Tensor, "B D *K"] | None = None,
        beside: Float[Tensor, "B E *K"] | None = None,
    ) -> None:
        """Least squares over all sites (moments in float64), of each band over the details that there are.

        ``present`` is 1 or 0, or by how much each detail counts.
        """
        present = None if present is not None and bool((present == 1).all()) else present
        if self.of_companions is not None:
            assert beside is not None
            self._fit_beside(coarse, detail, present, beside)
            return
        if present is not None:
            self._fit_each(coarse, detail, present)
            return
        gram = torch.zeros((), dtype=torch.float64)
        cross = torch.zeros((), dtype=torch.float64)
        for _, patches, left, _ in self._equations(coarse, detail, None):
            gram = gram + patches.T @ patches
            cross = cross + patches.T @ left
        self.solve(gram, cross)

    def _fit_each(self, coarse: Tensor, detail: Tensor, present: Tensor) -> None:
        grams = [torch.zeros((), dtype=torch.float64) for _ in self.kernel]
        cross = torch.zeros((), dtype=torch.float64)
        for _, patches, left, there in self._equations(coarse, detail, present):
            assert there is not None
            for band, own in enumerate(there.T):
                grams[band] = grams[band] + (own[:, None] * patches).T @ patches
            cross = cross + patches.T @ (there * left)
        for band, gram in enumerate(grams):
            self.solve(gram, cross, band)

    def _fit_beside(self, coarse: Tensor, detail: Tensor, present: Tensor | None, beside: Tensor) -> None:
        """With companions: each band with the penalties that do best from strip to strip."""
        assert self.of_companions is not None
        found: dict[tuple[int, int], list[Tensor]] = {}
        for fold, patches, left, there in self._equations(coarse, detail, present, beside):
            if there is None:
                gram, counted = (patches.T @ patches).expand(len(self.kernel), -1, -1), left
            else:
                gram, counted = torch.stack([(own[:, None] * patches).T @ patches for own in there.T]), there * left
            moments = [gram, patches.T @ counted, (counted * left).sum(0)]
            found[fold] = [x + y for x, y in zip(found[fold], moments, strict=True)] if fold in found else moments
        grams, cross, squares = (torch.stack(list(part)) for part in zip(*found.values(), strict=True))
        for band in range(len(self.kernel)):
            firm = FIRM[-1], FIRM[-1]
            for kind in (0, 1, 0) if self.changing else (0,):
                tried = [(each, firm[1]) if kind == 0 else (firm[0], each) for each in FIRM]
                errors = [self._error([*found], grams[:, band], cross, squares[:, band], band, each) for each in tried]
                firm = tried[min(range(len(FIRM)), key=errors.__getitem__)]
            self.solve(grams[:, band].sum(0), cross.sum(0), band, firm)
        said = self._said(self.of_companions, beside.to(self.kernel))
        said = said if present is None else said * (present > 0)
        self.most.copy_(said.abs().movedim(1, 0).flatten(1).amax(1))

    def _error(
        self,
        folds: Sequence[tuple[int, int]],
        grams: Float[Tensor, "F P P"],
        cross: Float[Tensor, "F P D"],
        squares: Float[Tensor, " F"],
        band: int,
        firm: tuple[float, float],
    ) -> float:
        """The sum of squares that is left of a band in each fold of what those say of it that are nowhere alike."""
        error, several = 0.0, [side for side, all_of in enumerate(zip(*folds, strict=True)) if len({*all_of}) > 1]
        for i, own in enumerate(folds):
            apart = [all(each[side] != own[side] for side in several) for each in folds]
            others = [j for j, each in enumerate(apart) if each and j != i] or [i]
            w = self._weights(grams[others].sum(0), cross[others].sum(0), firm)[:, band]
            error += float(squares[i] - 2 * w @ cross[i, :, band] + w @ grams[i] @ w)
        return error

    def _equations(
        self, coarse: Tensor, detail: Tensor, present: Tensor | None, beside: Tensor | None = None
    ) -> Iterator[tuple[tuple[int, int], Tensor, Tensor, Tensor | None]]:
        """By part: the strip and the stretch of samples that it is of, predictors ``(sites, taps)``, what they are to
        predict, and which of it is there, or by how much each counts, ``(sites, D)``."""
        thick, more = (detail[:, :0] if part is None else part for part in (present, beside))
        for age, (c, d, p, e) in self._samples(coarse, detail, thick, more):
            wide, rows = extend(c, self.radius, self.boundaries), c.shape[2]
            around = e if self.of_companions is None else extend(e, BESIDE, self.boundaries)
            height = max(1, PATCH_VALUES * rows // (c.numel() * self.kernel[0, 0].numel()))
            ends = sorted({*range(0, rows, height), *(rows * fold // FOLDS for fold in range(FOLDS)), rows})
            for top, end in itertools.pairwise(ends):
                size, fold = end - top, max(fold for fold in range(FOLDS) if rows * fold // FOLDS <= top)
                patches = _patches(wide.narrow(2, top, size + 2 * self.radius), self.radius)
                if self.of_companions is not None:
                    patches = torch.cat([patches, self._patches_beside(around.narrow(2, top, size + 2 * BESIDE))], 1)
                left = d.narrow(2, top, size) - self._of_constants(c.narrow(2, top, size))
                there = p.narrow(2, top, size).movedim(1, -1).flatten(0, -2)
                yield (fold, age), patches, left.movedim(1, -1).flatten(0, -2), None if present is None else there

    def _samples(self, *parts: Tensor) -> Iterator[tuple[int, list[Tensor]]]:
        """Some samples at a time, in float64, and which stretch they are of; what is there at all times has one."""
        count, ages = len(parts[0]), FOLDS if self.changing else 1
        for age in range(ages):
            own = [part[count * age // ages : count * (age + 1) // ages] for part in parts]
            for some in zip(*(part.split(8) for part in own), strict=True):
                if len(some[0]):
                    yield age, [part.double() for part in some]

    def solve(
        self,
        gram: Float[Tensor, "P P"],
        cross: Float[Tensor, "P D"],
        only: int | None = None,
        firm: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Set the kernel, of all bands or one, by the normal equations ``gram @ weights = cross``.

        The predictors are, channel by channel, the taps in the order of the kernel: the centre site's value, and the
        differences of the others from it. What they predict is the detail less that of a constant field with the value
        of the centre site. Those of companions follow, to whose diagonal the first part ``firm`` of it is added, and
        the second to that of what changes with the time. The moments may be sums over sites or expectations.
        """
        channels, taps = self.kernel.shape[1], self.kernel[0, 0].numel()
        own = torch.arange(len(gram), device=gram.device) < channels * taps
        weights = self._weights(gram, cross, firm)
        kernel = weights[own].T.reshape(len(self.kernel), channels, taps).clone()
        kernel[:, :, taps // 2] -= kernel.sum(-1) - kernel[:, :, taps // 2]
        for band, row in enumerate(kernel):
            row[band // len(self.constant), taps // 2] += self.constant[band % len(self.constant)]
        bands = slice(None) if only is None else slice(only, only + 1)
        self.kernel[bands] = kernel.reshape(self.kernel.shape)[bands].to(self.kernel)
        if self.of_companions is not None:
            kernel = self.of_companions.kernel
            kernel[bands] = self._kernel_beside(weights[~own].T).reshape(kernel.shape)[bands].to(kernel)

    def _weights(
        self, gram: Float[Tensor, "P P"], cross: Float[Tensor, "P D"], firm: tuple[float, float] = (0.0, 0.0)
    ) -> Float[Tensor, "P D"]:
        channels, taps = self.kernel.shape[1], self.kernel[0, 0].numel()
        number = torch.arange(len(gram), device=gram.device)
        own = number < channels * taps
        centre = own & (number % taps == taps // 2)
        held = torch.tensor([value == 0 for value in self.constant] * channels, device=gram.device)
        weights, added = torch.zeros_like(cross), torch.where(own, 0.0, firm[0]).to(gram)
        added[len(gram) - self.changing :] = firm[1]
        penalty = RIDGE * gram.diagonal()[own & ~centre].sum() / max(1, channels * (taps - 1))
        for bands, used in ((held, ~centre), (~held, torch.ones_like(centre))):
            if bool(bands.any()) and bool(used.any()):
                system = gram[used][:, used] + penalty * torch.eye(int(used.sum())).to(gram)
                unit = system.diagonal().sqrt().clamp(min=torch.finfo(gram.dtype).tiny)  # values are larger by far
                system, right = system / unit[:, None] / unit, cross[used][:, bands] / unit[:, None]
                system = system + torch.diag(added[used])
                solution = torch.linalg.lstsq(system, right).solution / unit[:, None]
                weights[used.nonzero(), bands.nonzero().T] = solution
        return weights

    def _patches_beside(self, wide: Tensor) -> Float[Tensor, "sites taps"]:
        """Neighbours' differences of the coarse parts of companions, their details around every site, and there alone
        what these are times the clock."""
        middle, sizes = [slice(BESIDE, n - BESIDE) for n in wide.shape[2:]], [self.companions, self.always]
        coarse, detail, changing = wide.tensor_split([*sizes, self.always + self.changing], 1)[:3]
        steps = _patches(coarse, BESIDE).unflatten(1, (self.companions, -1))
        centre = steps.shape[2] // 2
        steps = torch.cat([steps[:, :, :centre], steps[:, :, centre + 1 :]], 2).flatten(1)
        here = changing[(..., *middle)].movedim(1, -1).flatten(0, -2)
        return torch.cat([steps, _patches(detail, BESIDE, differences=False), here], 1)

    def _kernel_beside(self, weights: Float[Tensor, "D P"]) -> Float[Tensor, "D E taps"]:
        """The kernel of those weights."""
        assert self.of_companions is not None
        taps = self.of_companions.kernel[0, 0].numel()
        first = self.companions * (taps - 1)
        steps, details, here = weights.tensor_split([first, len(weights.T) - self.changing], 1)
        steps = steps.unflatten(1, (self.companions, taps - 1))
        changing = weights.new_zeros(len(weights), self.changing, taps)
        changing[:, :, taps // 2] = here
        parts = [steps[..., : taps // 2], -steps.sum(-1, keepdim=True), steps[..., taps // 2 :]]
        return torch.cat([torch.cat(parts, -1), details.unflatten(1, (-1, taps)), changing], 1)

    def _of_constants(self, coarse: Tensor) -> Tensor:
        """The detail that a constant field with the value of each site would have."""
        each = coarse.new_tensor(self.constant).reshape(-1, *[1] * (coarse.dim() - 2))
        return (coarse.unsqueeze(2) * each).flatten(1, 2)


def _patches(wide: Tensor, r: int, differences: bool = True) -> Float[Tensor, "sites taps"]:
    """The centre site and every neighbour, or its difference from it, r sites from the edges, channel by channel."""
    lattice = tuple(n - 2 * r for n in wide.shape[2:])
    x, views = wide[(..., *(slice(r, r + n) for n in lattice))], []
    for shift in itertools.product(range(-r, r + 1), repeat=len(lattice)):
        where = tuple(slice(r + s, r + s + n) for s, n in zip(shift, lattice, strict=True))
        views.append(wide[(..., *where)] - x if differences and any(shift) else wide[(..., *where)])
    return torch.stack(views, 2).flatten(1, 2).movedim(1, -1).flatten(0, -2)
