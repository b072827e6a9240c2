"""Opens the checkpoint of a trained model."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch_geometric.data import Batch

from pyg_srgnn.data.graphs import session_graphs
from pyg_srgnn.data.sessions import Vocabulary
from pyg_srgnn.functional.graphs import flat_clicks
from pyg_srgnn.functional.marks import marks_of
from pyg_srgnn.functional.wanted import Best, Wanted, best_of_all_scores
from pyg_srgnn.model_folder import WEIGHTS, read_model, write_model
from pyg_srgnn.nn import ModelMixture, SessionModel, rebuild_model
from pyg_srgnn.nn.encoders import Encoder, encoder_of, weights_of
from pyg_srgnn.runs.result import METRICS_FILE, Metrics, RunResult
from pyg_srgnn.utils.packages import PackageError

if TYPE_CHECKING:
    from pyg_srgnn.clicklog.spec import Preparation


class ModelScorer:
    """Scores sessions of item indices with a model in memory, as an exported model does.

    Args:
        model: A trained model; it is set to evaluation mode.
    """

    def __init__(self, model: SessionModel | ModelMixture) -> None:
        self.model = model.eval()

    @property
    def num_items(self) -> int:
        """Number of items V in the catalogue."""
        return self.model.num_items

    @property
    def log_probabilities(self) -> bool:
        """Whether the scores are log-probabilities."""
        return self.model.log_probabilities

    @property
    def mixes_models(self) -> bool:
        """Whether it is a mixture of whole models."""
        return isinstance(self.model, ModelMixture)

    @torch.inference_mode()
    def best(self, sessions: Sequence[Sequence[int]], wanted: Sequence[Wanted]) -> list[Best]:
        """The best items of every session, as it wants them."""
        graphs = self._graphs(sessions)
        if all(each.offsets is None and not each.exclude_seen for each in wanted):
            values, items = self.model.topk(graphs, max(each.k for each in wanted))
            return [(values[each.rows, : each.k], items[each.rows, : each.k]) for each in wanted]
        return best_of_all_scores(self.model.scores(graphs), (graphs.batch, graphs.x), wanted)

    @torch.inference_mode()
    def scores(self, sessions: Sequence[Sequence[int]]) -> Tensor:
        """Scores of every item for every session [B, V]."""
        return self.model.scores(self._graphs(sessions))

    @torch.inference_mode()
    def directions(self, items: Tensor) -> Tensor:
        """Vectors of items [N], as they are when clicked, of length 1, or 0 [N, D]."""
        return _directions(self.model, items.to(next(self.model.parameters()).device)).cpu()

    @torch.inference_mode()
    def attention(self, sessions: Sequence[Sequence[int]]) -> Tensor | None:
        """Weight of every click, session after session [L]; None of a model without attention."""
        return self.model.attention(self._graphs(sessions))

    @torch.inference_mode()
    def log_parts(self, sessions: Sequence[Sequence[int]], items: Tensor) -> dict[str, Tensor]:
        """Logarithms of what each part of a mixture gives to items [B, K], by its name."""
        graphs = self._graphs(sessions)
        return self.model.log_parts(graphs, items.to(graphs.x.device))

    @property
    def texts(self) -> Tensor | None:
        """Whitened text of every item, of length 1 or 0 [V, F]; None of a model without texts."""
        return None if self.model.text is None else self.model.text.vectors

    def exported(self, clicks: Tensor) -> tuple[Encoder, dict[str, Tensor]]:
        """The two parts of the model that an export has, in memory.

        Args:
            clicks: Clicks of each item in training, int64 [V].
        """
        model = self.model
        assert not isinstance(model, ModelMixture), "items are added to a model that knows texts"
        weight = model.embedding.weight
        if weight.device.type != "cpu" or weight.dtype != torch.float32:
            model = copy.deepcopy(model).to("cpu", torch.float32)
        return encoder_of(model), weights_of(model, clicks)

    def _graphs(self, sessions: Sequence[Sequence[int]]) -> Batch:
        """The graphs of sessions of indices, where the model is."""
        graphs = session_graphs(
            *flat_clicks(sessions), marks=marks_of(sessions, *_known(self.model))
        )
        return graphs.to(next(self.model.parameters()).device)


def _known(model: SessionModel | ModelMixture) -> tuple[int, bool, int]:
    """See :attr:`SessionModel.marks_known`; of a mixture, what any member knows."""
    if isinstance(model, ModelMixture):
        events, gaps, earlier = zip(*map(_known, model.models), strict=True)
        return max(events), any(gaps), max(earlier)
    return model.marks_known


def _directions(model: SessionModel | ModelMixture, items: Tensor) -> Tensor:
    """Unit vectors of items [N, D]; those of a mixture's members side by side."""
    if isinstance(model, ModelMixture):
        members = [_directions(member, items) for member in model.models]
        return torch.cat(members, dim=1).div(len(members) ** 0.5)
    return normalize(model.clicked(items).float())


@dataclass(frozen=True)
class Checkpoint:
    """A trained model with all it takes to recommend.

    Args:
        model: The model, in evaluation mode.
        settings: The arguments of :func:`pyg_srgnn.nn.rebuild_model`.
        vocabulary: The catalogue's raw ids.
        clicks: Clicks of each item in training, int64 [V].
        dataset: Name and arguments of the dataset that it was trained on.
        split: The split that it was trained on.
        protocol: ``"honest"``, or ``"literature"``: chosen on the test set.
        path: The file.
        data: The fingerprint of its data; None of a checkpoint of an earlier version.
            (default: None)
        preparation: How its sessions were prepared from a click log, as
            :meth:`~pyg_srgnn.clicklog.spec.Preparation.to_dict` gives it; None if they were not,
            or in checkpoints of an earlier version. (default: None)
        text: What describes the texts of its items, as
            :class:`~pyg_srgnn.text.encode.TextVectors` has it in ``facts``; None without texts.
            (default: None)
        categories: What describes the categories of its items, see
            :meth:`pyg_srgnn.data.categories.Categories.facts`; None without. (default: None)
        member_texts: Of a mixture, the same of each member, in their order; of one that is a
            mixture itself, its list. None of other models, or in checkpoints of an earlier version.
            (default: None)
        metrics: Metrics of its run, as fractions, ``{"valid": {…}, "test": {…}}``; None where it is
            not the final checkpoint of a run. (default: None)
    """

    model: SessionModel | ModelMixture
    settings: dict[str, Any]
    vocabulary: Vocabulary
    clicks: Tensor
    dataset: dict[str, Any]
    split: str
    protocol: str
    path: Path
    data: dict[str, Any] | None = None
    preparation: dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    categories: dict[str, Any] | None = None
    member_texts: list[Any] | None = None
    metrics: dict[str, Metrics] | None = None

    @property
    def key(self) -> str:
        """Identifies the checkpoint."""
        return f"{self.path.resolve()} {self.path.stat().st_mtime_ns}"

    def single(self, use: str) -> SessionModel:
        """The model, which is no mixture of several.

        Args:
            use: What only a single model can be used for, for the error.

        Raises:
            ValueError: If it is a mixture.
        """
        if isinstance(self.model, ModelMixture):
            raise ValueError(
                f"{self.path}: it is a mixture of {len(self.model.models)} models, and {use} takes "
                f"a single one; distil=RUN of srgnn-train trains one towards it"
            )
        return self.model

    @property
    def scorer(self) -> ModelScorer:
        """Scores sessions of indices with the model."""
        return ModelScorer(self.model)

    @classmethod
    def load(cls, path: str | Path) -> Checkpoint:
        """Open a run directory's final checkpoint, or a checkpoint file.

        Nothing in the file is executed. A run that is not finished gives its best epoch so far.

        Raises:
            FileNotFoundError: If there is no checkpoint.
            ValueError: If the file is not a checkpoint of this package, or its model is of another
                package that is not installed or cannot be loaded.
        """
        file = find_checkpoint(path)
        stored = read_checkpoint(file)
        with _refusing(file):
            model = rebuild_model(stored["model"])
            model.load_state_dict(
                {
                    name.removeprefix("model."): tensor
                    for name, tensor in stored["state_dict"].items()
                    if name.startswith("model.")
                }
            )
            vocabulary = Vocabulary(stored["vocabulary"])
            clicks, dataset = stored["clicks"], dict(stored["dataset"])
            if not model.num_items == len(vocabulary) == clicks.numel():
                raise ValueError(
                    f"a model of {model.num_items} items, {len(vocabulary)} ids and "
                    f"{clicks.numel()} counts do not belong together"
                )
            split, protocol = str(stored["split"]), str(stored["protocol"])
            settings = dict(stored["model"])
            return cls(
                model.eval(),
                settings,
                vocabulary,
                clicks,
                dataset,
                split,
                protocol,
                file,
                stored.get("data"),
                stored["preparation"] if "preparation" in stored else _preparation_in(dataset),
                stored.get("text"),
                stored.get("categories"),
                stored.get("member_texts"),
                stored["metrics"] if "metrics" in stored else _metrics_of(file),
            )

    def save(self, folder: Path) -> None:
        """Write the model as safetensors and JSON into a folder that is there.

        :meth:`load` opens the folder; see :mod:`pyg_srgnn.model_folder`.
        """
        entries = {one.name: getattr(self, one.name) for one in fields(self)}
        state = {
            f"model.{name}": tensor for name, tensor in entries.pop("model").state_dict().items()
        }
        entries |= {"state_dict": state, "model": entries.pop("settings")}
        entries |= {"vocabulary": self.vocabulary.ids}
        del entries["path"]
        write_model(folder, entries)


def _metrics_of(file: Path) -> dict[str, Metrics] | None:
    """The metrics of the run whose final checkpoint this file is."""
    folder = file.parent.parent
    try:
        result = RunResult.read(folder)
    except (OSError, ValueError):
        return None
    if result.checkpoint is None or folder / result.checkpoint != file:
        return None
    parts = {"valid": result.valid, "test": result.test}
    return {part: values for part, values in parts.items() if values is not None}


def _preparation_in(dataset: dict[str, Any]) -> dict[str, Any] | None:
    """The preparation of a checkpoint of an earlier version, if its dataset's arguments have it."""
    if dataset["name"] != "click_log":
        return None
    from pyg_srgnn.clicklog.spec import Preparation  # which few need

    known = {one.name for one in fields(Preparation)}
    return {key: value for key, value in dataset.items() if key in known}


def read_checkpoint(path: str | Path, map_location: Any = "cpu") -> dict[str, Any]:
    """Read a checkpoint file as tensors and plain values; nothing in it is executed.

    Raises:
        ValueError: If the file is not a checkpoint, is cut short, or holds code.
    """
    with _refusing(path):
        if Path(path).name == WEIGHTS:
            return read_model(Path(path))
        stored: dict[str, Any] = torch.load(path, map_location, weights_only=True)
        if not isinstance(stored, dict) or "epoch" not in stored:
            raise ValueError("it holds no epoch of a run")
        return stored


@contextmanager
def _refusing(path: str | Path) -> Iterator[None]:
    """Turn the errors of a file of another kind into one message."""
    try:
        yield
    except PackageError as error:
        raise ValueError(f"{path}: {error}") from error
    except Exception as error:
        reason = str(error).strip().split("\n")[0]
        if isinstance(error, pickle.UnpicklingError):  # torch explains how to run it
            reason = "it holds more than tensors and plain values"
        raise ValueError(
            f"{path} is not a checkpoint that srgnn-train wrote ({type(error).__name__}: {reason})"
        ) from error


def describe_training(
    model: dict[str, Any],
    vocabulary: Vocabulary,
    clicks: Tensor,
    dataset: dict[str, Any],
    split: str,
    protocol: str,
    data: dict[str, Any] | None = None,
    preparation: Preparation | None = None,
    text: dict[str, Any] | None = None,
    categories: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The entries of a checkpoint beside the weights that :meth:`Checkpoint.load` reads."""
    return {
        "model": model,
        "vocabulary": vocabulary.ids,
        "clicks": clicks,
        "dataset": dataset,
        "split": split,
        "protocol": protocol,
        "data": data,
        "preparation": None if preparation is None else preparation.to_dict(),
        "text": text,
        "categories": categories,
    }


def find_checkpoint(path: str | Path) -> Path:
    """The checkpoint file of a run directory, or the file itself.

    Raises:
        FileNotFoundError: If there is none; names where it was looked for.
        ValueError: If the run names none, or one outside of its directory.
    """
    path = Path(path)
    if path.is_file():
        return path
    if not path.is_dir():
        raise FileNotFoundError(f"checkpoint={path}: there is no such run directory or file")
    named = Path("checkpoints/best.ckpt")
    if (path / WEIGHTS).is_file():
        named = Path(WEIGHTS)
    elif (path / METRICS_FILE).is_file():
        result = RunResult.read(path)
        if result.checkpoint is None:
            raise ValueError(
                f"{path / METRICS_FILE} names no checkpoint: model={result.model} has no weights"
            )
        named = Path(result.checkpoint)
    chosen = path / named
    # Who passes a run on must not decide which other file is opened; neither may a link.
    if named.is_absolute() or not chosen.resolve().is_relative_to(path.resolve()):
        raise ValueError(
            f"checkpoint={path}: its checkpoint must be a path within the run's directory (got "
            f"{named}, which is {chosen.resolve()}); checkpoint=FILE opens a file anywhere"
        )
    if not chosen.is_file():
        raise FileNotFoundError(
            f"checkpoint={path}: there is no {chosen.relative_to(path)} in it; is it the directory "
            f"of a run of srgnn-train that has finished an epoch?"
        )
    return chosen
