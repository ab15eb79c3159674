"""What a user is told at the end of a training: how networks did, how fields are made, what samples look like."""

from rgdm.commands.shared import channel_names
from rgdm.errors import InputError
from rgdm.evaluate.evaluations import Trial
from rgdm.evaluate.health import Comparison, compare
from rgdm.figures import with_error
from rgdm.model.cascade.cascade import Cascade
from rgdm.model.cascade.fields import Fields
from rgdm.progress import bar
from rgdm.train import Parts, Trainer
from rgdm.train.heldout import ALIKE

PASSED = 0.75
"""Weights that were best before this share of a training, and worse by OVERFITTED at its end, were learned by heart."""
OVERFITTED = 1.01


def losses_table(trainer: Trainer, parts: Parts) -> list[str]:
    """The loss of each level, and what there is to doubt."""
    looks = [record for record in trainer.records if "held_out" in record]
    first, last = looks[0]["held_out"], looks[-1]["held_out"]
    on = "on fields kept back" if parts.held_out is not None else "on training fields"
    lines = [f"The loss {on} ({parts.what}):", "  level  closed form     kept  at the end"]
    steps = {level: learner.step for learner in trainer.learners for level in learner.levels}
    for level in range(trainer.model.levels):
        chosen = next(record["held_out"] for record in looks if record["step"] == steps[level])
        figures = (values[str(level)] for values in (first, chosen, last))
        lines.append("  {:5d}  {:11.3f}  {:7.3f}  {:10.3f}".format(level, *figures))
    for learner in trainer.learners:
        lines += [
            f"rgdm: note: {reason}; it went on from good weights at a smaller rate" for reason in learner.failures
        ]
        level = str(learner.levels[0])
        best = min(look["held_out"][level] for look in looks)
        if learner.step < PASSED * trainer.step and last[level] > OVERFITTED * best:
            lines.append(
                f"rgdm: note: {learner.name} learned by heart after step {learner.step}, whose weights are kept; more "
                "fields would help"
            )
    if parts.held_out is None:
        lines.append(f"rgdm: note: kept back is {parts.what}; spread and temperatures are those of training fields")
    if parts.alike > ALIKE:
        lines.append(
            f"rgdm: note: samples are alike (the finest detail of those kept back correlates by {parts.alike:.2f} with "
            "that of others): the model may know this place by heart, and ensembles elsewhere be too narrow; for use "
            "elsewhere train with --hold-back space"
        )
    if len(looks) > 4:
        before, total = looks[-1 - len(looks) // 4]["held_out"]["0"], first["0"]
        lines.append(f"The last quarter brought the finest level down by {(before - last['0']) / total:.1%}")
    return lines


def evaluations_table(trials: list[Trial]) -> list[str]:
    """How many evaluations a level the model will use, and why."""
    if not trials:
        return ["The fields are too large to try numbers of evaluations; the model will use 3 (--evaluations sets it)"]
    lines = ["Evaluations a level:    CRPS  spread/skill  power in octaves over that of the data, the finest first"]
    for trial in sorted(trials):
        octaves = "  ".join(f"{ratio:4.2f}" for ratio in trial.octaves)
        mark = "*" if trial == trials[-1] else " "
        lines.append(f"  {mark} {trial.evaluations:16d}  {trial.crps:6.4f}  {trial.spread_skill:12.2f}  {octaves}")
    return [*lines, f"  * as good as {max(trials).evaluations}, and what the model will use"]


def samples_table(model: Cascade, fields: Fields, seed: int) -> list[str]:
    """Statistics of the data and of samples; those that differ are marked."""
    if model.told:
        return []
    values = fields.values
    if bool(values.isnan().any()):
        return ["rgdm: note: samples, which are whole, were not compared with data that have gaps"]
    try:
        with bar("sampling", 1) as show:
            comparisons = compare(model, values, seed, show)
    except InputError as error:
        return [f"rgdm: note: samples were not compared with data: {error}"]
    units, names = model.metadata.get("own_attrs") or {}, channel_names(model)
    attrs = model.metadata.get("attrs") or {}

    def title(c: Comparison) -> str:
        name = names[c.channel]
        unit = (units.get(name) or attrs).get("units") if c.has_unit else None
        own = f" of {name}" if model.channels > 1 else ""
        return f"{c.name}{own}" + (f" [{unit}]" if unit else "")

    rows = [
        (title(c), with_error(c.data, c.data_error), with_error(c.samples, c.samples_error), "*" * c.doubtful)
        for c in comparisons
    ]
    wide = max(len(row[0]) for row in rows)
    lines = [f"{'Samples against data':{wide + 2}}{'data':>16}{'samples':>16}"]
    lines += [f"  {name:{wide}}{data:>16}{made:>16} {mark}".rstrip() for name, data, made, mark in rows]
    if any(c.doubtful for c in comparisons):
        lines.append("rgdm: note: * samples differ by more than chance and a fifth; look at them before using them")
    return lines
