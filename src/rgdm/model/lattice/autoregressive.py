"""A density over the fields of one lattice: every site given the sites before it, coarse sublattices first."""

import math
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from rgdm.errors import InputError
from rgdm.model.lattice.maximum_likelihood import maximise, turned
from rgdm.model.lattice.site_law import MixtureLaw, SpinLaw, check_symmetry
from rgdm.model.lattice.site_order import gather, stages
from rgdm.model.lattice.stored import StoredModel
from rgdm.physics.actions import Action, Ising, Phi4, check_no_gaps, check_values, described, description
from rgdm.physics.conditional import SiteConditional
from rgdm.process.noise import NoiseField, Window
from rgdm.ranges import check_each, check_flag, check_range
from rgdm.watch import Watch

SiteValues = Literal["continuous", "spins"]
SiteLaw = MixtureLaw | SpinLaw | SiteConditional
LARGEST = 3.0
"""Distance from the mean of their batch at which log weights are clipped when a model is fitted to an action."""
FARTHEST = 6.0
"""Largest value of a site in the table of log z of the sites that are integrated out, in standard deviations."""


class AutoregressiveField(StoredModel):
    """``p(x) = prod_s p(x_s | sites before s)``, with a learned law for each stage of an order from coarse to fine.

    A hierarchical autoregressive network (Białas, Korcyl & Stebel 2022, arXiv:2203.10989; Singha et al. 2025, RiGCS)
    in the order of decimations (:func:`~rgdm.model.lattice.site_order.stages`): the density is exact, a field is drawn
    in one visit to each site, and its values are continuous or spins. A model serves the lattice that it was trained
    on. Its limits: sites of one colour are independent given those before them, a site sees as far as ``reach``
    spacings, continuous values are mixtures of Gaussians, and the law is taken to have the symmetries of the lattice.

    Args:
        lattice: its sides, periodic.
        values: ``continuous`` (mixtures of Gaussians) or ``spins`` (+-1).
        reach: distance that a site sees along each axis, in spacings of its sublattice.
        width: of the networks.
        action: the action of the fields if it is known, with nearest-neighbour bonds only: the last half of the
            checkerboard then has its law from it (:class:`~rgdm.physics.conditional.SiteConditional`).
        symmetric: ``p(-x) = p(x)``; False for fields that have a mean.
    """

    scale: Tensor

    def __init__(
        self,
        lattice: tuple[int, int],
        values: SiteValues = "continuous",
        reach: int = 3,
        width: int = 64,
        action: Phi4 | Ising | None = None,
        symmetric: bool = True,
    ) -> None:
        super().__init__()
        if values not in get_args(SiteValues):
            raise InputError(f"unknown values {values!r}; known are {', '.join(get_args(SiteValues))}")
        if len(tuple(lattice)) != 2:
            raise InputError(f"lattice {lattice}; two axes are needed")
        check_each("lattice", tuple(lattice))
        check_range("reach", reach)
        check_range("width", width)
        check_flag("symmetric", symmetric)
        if action is not None:
            check_values(action, values)
            check_symmetry(action, symmetric)
        self.lattice, self.values, self.action = tuple(lattice), values, action
        self.configuration: dict[str, Any] = {
            "lattice": list(lattice),
            "values": values,
            "reach": reach,
            "width": width,
            "action": None if action is None else description(action),
            "symmetric": symmetric,
        }
        order = stages(lattice, reach, action is not None)
        sizes = [stage.given.shape[1] for stage in order]
        self.laws = nn.ModuleList(
            SpinLaw(size, width, symmetric) if values == "spins" else MixtureLaw(size, 1, width, symmetric)
            for size in (sizes if action is None else sizes[:-1])
        )
        self.known_law = None if action is None else SiteConditional(action)
        self.register_buffer("scale", torch.ones(()))
        for number, stage in enumerate(order):
            self.register_buffer(f"sites_{number}", stage.sites, persistent=False)
            self.register_buffer(f"given_{number}", stage.given, persistent=False)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.scale.device

    @classmethod
    def configured(cls, configuration: dict[str, Any]) -> "AutoregressiveField":
        action = None if configuration["action"] is None else described(configuration["action"])
        return cls(**configuration | {"lattice": tuple(configuration["lattice"]), "action": action})

    def fit(
        self,
        fields: Float[Tensor, "B 1 H W"],
        steps: int = 2000,
        batch: int = 256,
        rate: float = 3e-3,
        seed: int = 0,
        watch: Watch | None = None,
    ) -> list[float]:
        """Maximum likelihood, on fields that are homogeneous and isotropic; returns -log p a site of each step.

        Every batch is shifted, mirrored and transposed at random. The mean of -log p is that over the sites of learned
        laws, without those whose law is known from the action.
        """
        self._check(fields)
        if len(fields) < 2 or min(steps, batch) < 1:
            raise InputError(
                f"{len(fields)} fields, {steps} steps of {batch}; at least 2 fields and 1 of each are needed"
            )
        if self.values == "continuous":
            self.scale.copy_(fields.std().clamp(min=1e-12))
        random = torch.Generator().manual_seed(seed)

        def draw() -> tuple[Tensor]:
            chosen = torch.randint(len(fields), (batch,), generator=random)
            return (turned(fields[chosen.to(fields.device)], random).to(self.scale),)

        def log_prob(x: Tensor) -> Tensor:
            return self._learned(x.flatten(1) / self.scale).mean()

        per_value = float(self.scale.log())
        return [loss + per_value for loss in maximise(self, draw, log_prob, steps, rate, watch)]

    def fit_action(
        self,
        action: Action | None = None,
        steps: int = 1000,
        batch: int = 256,
        rate: float = 1e-3,
        seed: int = 0,
        watch: Watch | None = None,
    ) -> list[float]:
        """Brings the model closer to an action, on fields that it draws; returns the variance of the log weights of
        each step.

        Minimises ``KL(q | p)`` by the score function, with the mean of the batch as control variate (Wu, Wang & Zhang
        2019, arXiv:1809.10606) and log weights clipped at 3 from it. It needs no data, and the noise of its gradient
        falls with the variance of the log weights, which that of maximum likelihood does not; but it cannot learn of
        fields that the model does not draw, so :meth:`fit` comes first. Sites with a law known from the action are
        integrated out.

        Args:
            action: by default that of the model. On a GPU its energy must not involve the host.
            steps: of the optimizer.
            batch: fields a step; 2 or more.
            rate: the highest learning rate.
            seed: of the noise.
            watch: called after each step.
        """
        action = self.action if action is None else action
        if action is None:
            raise InputError("the model knows no action; give one to fit_action, or fit it to fields")
        if self.action is not None and action != self.action:
            raise InputError(f"{action} is not the action {self.action}, from which the last sites are drawn")
        check_values(action, self.values)
        if steps < 1 or batch < 2:
            raise InputError(f"{steps} steps of {batch} fields; at least 1 step of 2 fields is needed")
        random = torch.Generator(self.device).manual_seed(seed)
        log_density = self._marginal(action)

        def draw() -> tuple[Tensor]:
            shape = (batch, 2, math.prod(self.lattice))
            return (torch.randn(shape, generator=random, device=self.device, dtype=self.scale.dtype),)

        def gain(white: Tensor) -> Tensor:
            with torch.no_grad():
                x = white.new_zeros(batch, math.prod(self.lattice))
                for law, sites, given in self._learned_visits():
                    x[:, sites] = self._draw(law, x, white[:, :, sites].movedim(1, -1), given)
            log_q = self._learned(x / self.scale).sum(1)
            with torch.no_grad():
                weight = log_density(x) - log_q.double()
                off = (weight - weight.mean()).clamp(-LARGEST, LARGEST).to(log_q)
            surrogate = (off * log_q).mean()
            return surrogate - surrogate.detach() - weight.var()

        return maximise(self, draw, gain, steps, rate, watch)

    @torch.no_grad()
    def sample(self, count: int, seed: int = 0, batch: int = 4096) -> Float[Tensor, "count 1 H W"]:
        """Fields, each from its own noise: member i of a seed is the same for every ``count`` and ``batch``."""
        if count < 1 or batch < 1:
            raise InputError(f"{count} fields in batches of {batch}; at least 1 of each")
        noise, batches = NoiseField(seed, "sample"), []
        for start in range(0, count, batch):
            members = range(start, min(start + batch, count))
            white = noise.of(members)(0, 2, Window.whole(0, self.lattice)).to(self.scale)
            empty = torch.zeros(len(members), 1, *self.lattice, device=self.device, dtype=self.scale.dtype)
            batches.append(self.redraw(empty, white))
        return torch.cat(batches)

    @torch.no_grad()
    def redraw(
        self, x: Float[Tensor, "B 1 H W"], white: Float[Tensor, "B 2 H W"], chosen: Tensor | None = None
    ) -> Float[Tensor, "B 1 H W"]:
        """The chosen sites (``(H, W)``, all by default) anew from unit noise, each given the sites before it."""
        y, flat = x.to(self.scale).flatten(1).clone(), white.to(self.scale).flatten(2)
        for law, sites, given in self._visits(chosen):
            noise = flat[:, :, sites].movedim(1, -1)
            if isinstance(law, SiteConditional):
                drawn = law.draw(torch.special.ndtr(noise[..., 0].double()), y[:, given].sum(-1))
            else:
                drawn = self._draw(law, y, noise, given)
            y[:, sites] = drawn.to(y)
        return y.reshape(x.shape)

    def log_prob(self, x: Float[Tensor, "B 1 H W"]) -> Float[Tensor, " B"]:
        """log p of fields, float64."""
        return self.site_log_prob(x).flatten(1).sum(1)

    def site_log_prob(self, x: Float[Tensor, "B 1 H W"], chosen: Tensor | None = None) -> Float[Tensor, "B H W"]:
        """log p of each site given those before it, float64; their sum is log p of the field.

        Only of the chosen sites (``(H, W)``, all by default), 0 elsewhere.
        """
        self._check(x)
        y = x.to(self.scale).flatten(1) / self.scale
        per_value = 0.0 if self.values == "spins" else self.scale.double().log()
        parts, order = [y.new_zeros(len(y), 0, dtype=torch.float64)], [torch.zeros(0, dtype=torch.long).to(y.device)]
        for law, sites, given in self._visits(chosen):
            if isinstance(law, SiteConditional):
                whole = x.to(self.device).flatten(1)
                parts.append(law.log_prob(whole[:, sites], whole[:, given].sum(-1)))
            else:
                parts.append(law.log_prob(y[:, sites, None], gather(y, given)).double() - per_value)
            order.append(sites)
        log_p = y.new_zeros(y.shape, dtype=torch.float64).index_copy(1, torch.cat(order), torch.cat(parts, 1))
        return log_p.reshape(-1, *self.lattice)

    def _visits(self, chosen: Tensor | None = None) -> Iterator[tuple[SiteLaw, Tensor, Tensor]]:
        """Law, sites and the sites they are given, of each stage that has chosen sites."""
        for number, law in enumerate([*self.laws, *([] if self.known_law is None else [self.known_law])]):
            sites, given = self.get_buffer(f"sites_{number}"), self.get_buffer(f"given_{number}")
            if chosen is not None:
                inside = chosen.flatten().to(self.device)[sites]
                sites, given = sites[inside], given[inside]
            if len(sites) and isinstance(law, SiteLaw):
                yield law, sites, given

    def _learned_visits(self) -> Iterator[tuple[MixtureLaw | SpinLaw, Tensor, Tensor]]:
        for law, sites, given in self._visits():
            if not isinstance(law, SiteConditional):
                yield law, sites, given

    def _draw(
        self,
        law: MixtureLaw | SpinLaw,
        x: Float[Tensor, "B N"],
        white: Float[Tensor, "B S 2"],
        given: Int[Tensor, "S M"],
    ) -> Float[Tensor, "B S"]:
        """SiteValues of the sites of a stage from their learned law."""
        around = gather(x, given) / self.scale
        return law.draw(around.flatten(0, 1), white.flatten(0, 1)).reshape(len(x), -1) * self.scale

    def _marginal(self, action: Action) -> Callable[[Float[Tensor, "B N"]], Float[Tensor, " B"]]:
        """log p of the values of the learned stages, with 0 at all other sites; up to a constant, float64.

        The last half of the checkerboard is integrated out, with log z of its law from a table.
        """
        lattice = self.lattice
        if self.known_law is None:
            return lambda x: -action.energy(x.double().reshape(-1, 1, *lattice))
        given = self.get_buffer(f"given_{len(self.laws)}")
        far = 4 * FARTHEST * float(self.scale)
        if isinstance(action, Phi4) and action.c > 0:  # twice as far as the minimum of S of a uniform field
            far = max(far, 8 * math.sqrt(max(0.0, 2 * abs(action.a) - action.b) / (2 * action.c)))
        log_z = self.known_law.tabulated(far, self.device)

        def log_density(x: Tensor) -> Tensor:
            integrated = log_z(x.double()[:, given].sum(-1))
            return integrated.sum(1) - action.energy(x.double().reshape(-1, 1, *lattice))

        return log_density

    def _learned(self, y: Float[Tensor, "B N"]) -> Float[Tensor, "B M"]:
        """log p of the standardised values of the learned stages, in their order."""
        visits = self._learned_visits()
        return torch.cat([law.log_prob(y[:, sites, None], gather(y, given)) for law, sites, given in visits], 1)

    def _check(self, x: Tensor) -> None:
        if tuple(x.shape[1:]) != (1, *self.lattice):
            raise InputError(
                f"fields of shape {tuple(x.shape[1:])}; the model has 1 channel on the lattice {self.lattice}"
            )
        check_no_gaps(x)
        if self.values == "spins" and not bool((x.abs() == 1).all()):
            raise InputError("values other than +1 and -1 in fields of spins")
