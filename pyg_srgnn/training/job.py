"""A training job: its configuration and directory, the data that it opens, and its loaders."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from pyg_srgnn.data.attributes import ItemAttributes
from pyg_srgnn.data.categories import Categories
from pyg_srgnn.data.fixed import FixedBatches
from pyg_srgnn.datasets import SessionDataset, open_dataset
from pyg_srgnn.datasets.augmentation import Augmentation
from pyg_srgnn.datasets.loader import SessionLoader
from pyg_srgnn.functional.topk import rows_at_once
from pyg_srgnn.nn import MODELS
from pyg_srgnn.runs.directory import keep_data
from pyg_srgnn.text.attribute_files import open_attributes
from pyg_srgnn.text.encode import TextVectors
from pyg_srgnn.training.item_text import ItemText
from pyg_srgnn.training.length import epochs_for
from pyg_srgnn.training.settings import RunSettings


class Place(NamedTuple):
    """Where a process computes: on which device, and as which of how many processes."""

    device: torch.device = torch.device("cpu")
    rank: int = 0
    processes: int = 1


ALONE = Place()


@dataclass(frozen=True)
class Job:
    """The arguments that all steps of a run share.

    Args:
        config: The configuration, as composed from ``conf/train.yaml``.
        run_dir: Where the files go.
        sweep_dir: Where the runs lie with which ``halving`` compares. (default: None)
        launchers: Lightning's launchers of further processes, added by ``fit``. (default: none)
    """

    config: DictConfig
    run_dir: Path
    sweep_dir: Path | None = None
    launchers: list[Any] = field(default_factory=list)

    @cached_property
    def settings(self) -> RunSettings:
        """The top-level keys of the configuration, checked."""
        return RunSettings.of(_plain(self.config))

    def group(self, name: str) -> dict[str, Any]:
        """The keys of a group, such as ``"model"``."""
        return _plain(self.config[name])

    def open(self, split: str) -> SessionDataset:
        """Open a split of the dataset, whose data must be that of the run so far."""
        _ = self._text, self.attributes  # errors in files are told before a log is prepared
        dataset = open_dataset(self.config.dataset, split)
        # With resume=false, the first process may still have to clear the directory.
        if self.settings.resume or is_first_process():
            keep_data(self.run_dir, self.data(dataset))
        return dataset

    def data(self, dataset: SessionDataset) -> dict[str, Any]:
        """The fingerprint of the dataset, and of the texts and categories of its items."""
        text = None if self._text is None else self._text.fingerprint(dataset)
        found = dataset.fingerprint | ({} if text is None else {"text": text})
        categories = self.categories(dataset) if self._trains else None
        return found | ({} if categories is None else {"categories": categories.fingerprint})

    def categories(self, dataset: SessionDataset) -> Categories | None:
        """The categories of the dataset's items; None where no attributes are read."""
        if self.attributes is None or not self.settings.categories:
            return None
        if dataset.split not in self._categories:
            self._categories[dataset.split] = Categories.of(
                self.attributes, self.settings.categories, dataset.vocabulary
            )
        return self._categories[dataset.split]

    def text(self, dataset: SessionDataset) -> TextVectors | None:
        """The text vectors of the dataset's items, encoded now or before; None without texts."""
        if self._text is None:
            return None
        return self._text.encode(dataset, progress=is_first_process())

    @cached_property
    def _text(self) -> ItemText | None:
        """The texts of the items; None where none are wanted, as of a model that is not trained."""
        if self.settings.text is None or not self._trains:
            return None
        return ItemText(self.settings, self.group("encoder"))

    @cached_property
    def attributes(self) -> ItemAttributes | None:
        """The attributes of items; None where no file of them is named."""
        settings = self.settings
        names = [*settings.categories, *filter(None, [settings.diversity_by])]
        return open_attributes(settings.attributes, settings.attributes_id, names)

    @cached_property
    def _categories(self) -> dict[str, Categories]:
        """Those of each split that was asked for."""
        return {}

    @property
    def _trains(self) -> bool:
        """Whether the model is one that is trained, and knows what items are."""
        return self.config.model.name in MODELS

    def training_loader(self, training: SessionDataset, place: Place = ALONE) -> SessionLoader:
        """Batches to train on, in the order of ``order`` and ``half_life``."""
        settings = self.settings
        options: dict[str, Any] = {
            "batch_size": settings.batch_size,
            "shuffle": settings.order == "shuffle",
            "half_life": settings.half_life,
        }
        drop, crop = settings.drop_items, settings.crop
        if self.fixed(training, place):
            sizes = training.num_items, settings.batch_size
            build = FixedBatches(training.sessions, *sizes, place.device)
            return SessionLoader(training, **options, seed=settings.seed, build=build)
        if drop or crop:
            options["augmentation"] = Augmentation(drop, crop, settings.seed)
        return self._loader(training, place, **options)

    def fixed(self, training: SessionDataset, place: Place) -> bool:
        """Whether training batches have fixed sizes and are built on the device.

        Raises:
            ValueError: If they must, but the model or the data does not allow it.
        """
        wanted = self.settings.batches
        if wanted == "loader" or (wanted == "auto" and place.device.type != "cuda"):
            return False
        model, sessions = self.group("model"), training.sessions
        obstacles = {
            f"model={model['name']}": model["name"] != "srgnn",
            "model.loss=binary": model.get("loss") == "binary",
            "model.binary_edges=true": bool(model.get("binary_edges")),
            "model.text_similarity=true": bool(model.get("text_similarity")),
            f"model.sequence={model.get('sequence')}": model.get("sequence", "none") != "none",
            "model.readout_levels > 1": model.get("readout_levels", 1) > 1,
            f"distil={self.settings.distil}": self.settings.distil is not None,
            f"{place.processes} processes": place.processes > 1,
            "compile=true and model.loss=sampled": self.settings.compile
            and model.get("loss") == "sampled",  # whose gradients are sparse
            "compile=true and texts of the items": self.settings.compile
            and "text" in self.data(training),
            "types of clicks": sessions.events is not None or sessions.pauses is not None,
            "known users": sessions.visits is not None,
            f"drop_items={self.settings.drop_items}": self.settings.drop_items > 0,
            f"crop={self.settings.crop}": self.settings.crop > 0,
            "a transform": training.transform is not None,
            "some of the samples": len(training) != sessions.num_samples,
        }
        found = [name for name, there in obstacles.items() if there]
        if found and wanted == "device":
            raise ValueError(
                f"batches=device: batches of fixed sizes cannot be built with {', '.join(found)}; "
                "expected batches=loader"
            )
        return not found

    def ranking_loader(self, dataset: SessionDataset, place: Place = ALONE) -> SessionLoader:
        """Batches to rank, one after another."""
        if self.settings.positions == "last":
            dataset = dataset.last_clicks()
        size = rows_at_once(dataset.num_items, self.settings.eval_batch_size)
        return self._loader(dataset, place, batch_size=size)

    def _loader(self, dataset: SessionDataset, place: Place, **options: Any) -> SessionLoader:
        return SessionLoader(
            dataset,
            **options,
            seed=self.settings.seed,
            num_replicas=place.processes,
            rank=place.rank,
            num_workers=self.settings.num_workers,
            pin_memory=place.device.type == "cuda",  # so that the copy need not be waited for
            persistent_workers=self.settings.num_workers > 0,
        )

    def epochs(self, training: SessionDataset) -> int:
        """Epochs to train for: as configured, or :func:`epochs_for` the number of batches."""
        configured: int | None = self.config.trainer.max_epochs
        return configured or epochs_for(len(self.training_loader(training)))


def _plain(config: DictConfig) -> dict[str, Any]:
    return dict(OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]


def is_first_process() -> bool:
    """Whether this is the first of the processes of a run, or the only one."""
    return getattr(rank_zero_only, "rank", 0) == 0
