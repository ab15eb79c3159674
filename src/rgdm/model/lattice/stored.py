"""Models that are saved as the arguments of their constructor and their weights."""

from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from rgdm.errors import InputError
from rgdm.model.cascade import storage

Model = TypeVar("Model", bound="StoredModel")


class StoredModel(nn.Module):
    """A model whose ``configuration``, plain JSON, says how it is constructed."""

    configuration: dict[str, Any]

    @classmethod
    def configured(cls: type[Model], configuration: dict[str, Any]) -> Model:
        """An untrained model of this configuration."""
        return cls(**configuration)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``config.json`` and ``model.safetensors``."""
        storage.save(Path(folder), self.configuration, {}, dict(self.state_dict()), type(self).__name__)

    @classmethod
    def from_pretrained(cls: type[Model], folder: str | Path) -> Model:
        """The model of a folder that :meth:`save_pretrained` wrote."""
        place = storage.locate(folder)
        configuration, _ = storage.read_config(place, cls.__name__)
        try:
            with torch.random.fork_rng(devices=[]), storage.allowance(place):  # the caller's seed stays as it is
                model = cls.configured(configuration)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{place / storage.CONFIG} describes no {cls.__name__}: {error}") from None
        storage.read_weights(place, dict(model.state_dict()))
        return model.eval()
