"""The settings of a run beside those of its dataset, model, optimizer, trainer and logger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from pyg_srgnn.evaluation.baselines import EvaluationSettings
from pyg_srgnn.functional.metrics import monitored
from pyg_srgnn.utils.arguments import checking

PROTOCOLS = ("honest", "literature")
ORDERS = ("shuffle", "time")
NEW_ITEMS = ("neighbours", "init")
BATCHES = ("auto", "loader", "device")


@dataclass(frozen=True)
class RunSettings:
    """How a run trains, chooses its epoch and evaluates; the top-level keys of ``conf/train.yaml``.

    Args:
        seed: Seed of everything that is drawn.
        protocol: ``"honest"`` chooses the epoch on validation and reads the test set once;
            ``"literature"`` trains on all training sessions and reports the best test epoch of
            each metric.
        refit: Whether to train once more on training and validation for the chosen epochs;
            ``"only"`` does just that, for ``trainer.max_epochs``.
        test: Whether to evaluate on the test set.
        monitor: The validation metric that chooses the epoch; MRR@20 decides between equals.
        patience: Epochs without a better one before training stops.
        batch_size: Samples of a step, over all devices.
        order: ``"shuffle"``, or ``"time"``: training samples as they were clicked.
        half_life: Share of the training samples, back in time, over which their weight halves;
            None weighs all alike.
        callbacks: Further callbacks of Lightning's, each as its class in ``_target_`` and its
            arguments; see :func:`pyg_srgnn.training.callbacks.make_callbacks`.
        average: Decay of the average of the weights that is evaluated; 0 takes no average.
        eval_batch_size: Samples scored at once, at most; fewer where the catalogue is large.
        deterministic: Whether the same machine gives the same bits, at the cost of speed.
        num_workers: Processes that build batches.
        batches: Where training batches are built: ``"loader"``, by these processes; ``"device"``,
            with fixed sizes, where the model is; ``"auto"``, there on a GPU, if model and data
            allow it.
        compile: Whether ``torch.compile`` makes one graph of the loss, which needs batches of fixed
            sizes; on a GPU, CUDA graphs launch it at once.
        threads: Threads of an operation; None takes all cores, shared by the jobs of a sweep.
        baselines: Baselines to evaluate on the test set.
        ties: What items tied with the target do: ``"conservative"``, ``"median"`` or
            ``"standard"``.
        metrics: Metrics beyond accuracy to compute on the test set, of the model and the baselines.
        positions: Which clicks of validation and test sessions are targets: ``"every"`` one but
            the first, or the ``"last"`` one alone (leave-last-out).
        diversity_by: A column of it, by whose values items are alike in the metric ``diversity``;
            None takes the vectors of the model's items.
        resume: Whether to resume a run that is in the directory; False replaces it.
        checkpoint: A run directory or checkpoint file to resume.
        warm_start: A run or checkpoint whose weights to start from.
        drop_items: Probability that an item of a training sample's session is left out.
        crop: Probability that a training sample's session begins at any of its clicks.
        r_drop: Weight in the loss of how far two passes with different dropout are apart.
        contrast: Weight in the loss of how far sessions with the same next item are apart.
        distil: A finished run whose model to train towards.
        distil_weight: Share of the loss that it makes, above 0 and at most 1; the rest is the
            ordinary loss.
        text: Texts of the items: ``"auto"`` takes the dataset's own, if it has any; else a file
            of texts or vectors; None takes none.
        text_id: Column of the ids in the file; None guesses it.
        text_columns: Columns of text, or of vectors, in the file; None guesses them.
        attributes: A file of item attributes; None reads none.
        attributes_id: Its column of ids; None guesses it.
        categories: Its columns whose values are embedded as part of an item, and are slices of the
            results.
        new_items: Where items that it did not know start: ``"neighbours"`` or ``"init"``.
        halving: In a sweep, a run continues while it is among the best 1/halving of those that
            have come as far; None lets all continue.
        halving_from: The epoch after which this is asked first.

    Raises:
        ArgumentError: If values are not allowed, alone or together.
    """

    seed: int = 0
    protocol: str = "honest"
    refit: bool | str = False
    test: bool = True
    monitor: str = "hr@20"
    patience: int = 3
    batch_size: int = 512
    order: str = "shuffle"
    half_life: float | None = 0.5
    callbacks: Sequence[Mapping[str, Any]] = ()
    average: float = 0.0
    eval_batch_size: int = EvaluationSettings.batch_size
    deterministic: bool = False
    num_workers: int = 0
    batches: str = "loader"
    compile: bool = False
    threads: int | None = None
    baselines: Sequence[str] = EvaluationSettings.baselines
    ties: str = EvaluationSettings.ties
    metrics: Sequence[str] = EvaluationSettings.metrics
    positions: str = EvaluationSettings.positions
    diversity_by: str | None = None
    resume: bool = True
    checkpoint: str | None = None
    warm_start: str | None = None
    drop_items: float = 0.0
    crop: float = 0.0
    r_drop: float = 0.0
    contrast: float = 0.0
    distil: str | None = None
    distil_weight: float = 0.5
    text: str | None = "auto"
    text_id: str | None = None
    text_columns: Sequence[str] | None = None
    attributes: str | None = EvaluationSettings.attributes
    attributes_id: str | None = EvaluationSettings.attributes_id
    categories: Sequence[str] = EvaluationSettings.categories
    new_items: str = "neighbours"
    halving: int | None = None
    halving_from: int = 1

    def __post_init__(self) -> None:
        """Check every value."""
        with checking(self, batch_size="eval_batch_size") as check:
            check.whole("seed", self.seed, 0, 2**32 - 1)
            check.one_of("protocol", self.protocol, PROTOCOLS)
            fits = isinstance(self.refit, bool) or self.refit == "only"
            check.that(fits, "refit", "True, False or only", self.refit)
            check.flag("test", self.test)
            check.one_of("monitor", self.monitor, monitored())
            check.whole("patience", self.patience, 1)
            check.whole("batch_size", self.batch_size, 1)
            check.one_of("order", self.order, ORDERS)
            check.number("half_life", self.half_life, above=0, optional=True)
            fits = isinstance(self.callbacks, Sequence) and not isinstance(self.callbacks, str)
            fits = fits and all(
                isinstance(each, Mapping) and isinstance(each.get("_target_"), str)
                for each in self.callbacks
            )
            expected = "a list such as [{_target_: package.Class, argument: value}]"
            check.that(fits, "callbacks", expected, self.callbacks)
            check.number("average", self.average, least=0, below=1)
            check.flag("deterministic", self.deterministic)
            check.whole("num_workers", self.num_workers, 0)
            check.one_of("batches", self.batches, BATCHES)
            if check.flag("compile", self.compile):
                fits = self.batches == "device" or not self.compile
                check.that(fits, "batches", "device with compile=true", self.batches)
            check.whole("threads", self.threads, 1, optional=True)
            check.flag("resume", self.resume)
            check.text("checkpoint", self.checkpoint, optional=True)
            check.text("warm_start", self.warm_start, optional=True)
            check.number("drop_items", self.drop_items, least=0, below=1)
            check.number("crop", self.crop, least=0, most=1)
            check.number("r_drop", self.r_drop, least=0)
            check.number("contrast", self.contrast, least=0)
            check.text("distil", self.distil, optional=True)
            check.number("distil_weight", self.distil_weight, above=0, most=1)
            check.text("text", self.text, optional=True)
            check.text("text_id", self.text_id, optional=True)
            fits = self.text_columns is None or _is_names(self.text_columns)
            check.that(fits, "text_columns", "a list of columns, or None", self.text_columns)
            if self.text in (None, "auto"):
                expected = "None with text=null or text=auto; it is a column of a file"
                check.that(self.text_id is None, "text_id", expected, self.text_id)
                check.that(self.text_columns is None, "text_columns", expected, self.text_columns)
            check.one_of("new_items", self.new_items, NEW_ITEMS)
            check.whole("halving", self.halving, 2, optional=True)
            check.whole("halving_from", self.halving_from, 1)
            if self.protocol == "literature":
                expected = "False with protocol=literature, which trains on all sessions already"
                check.that(not self.refit, "refit", expected, self.refit)
                expected = "None with protocol=literature: no run has trained on the same sessions"
                check.that(self.distil is None, "distil", expected, self.distil)
                expected = "empty with protocol=literature, which has no model of all best epochs"
                check.that(not self.metrics, "metrics", expected, self.metrics)
                expected = "None with protocol=literature, which has no validation"
                check.that(self.halving is None, "halving", expected, self.halving)
            if self.refit == "only":
                expected = "None with refit=only, which has no validation"
                check.that(self.halving is None, "halving", expected, self.halving)
            if self.order == "time":
                expected = "None with order=time; a draw has no order in time"
                check.that(self.half_life is None, "half_life", expected, self.half_life)
            if self.checkpoint is not None:
                expected = "True with checkpoint=RUN, which is a run to resume"
                check.that(self.resume is True, "resume", expected, self.resume)
            EvaluationSettings(
                baselines=self.baselines,
                batch_size=self.eval_batch_size,
                ties=self.ties,
                metrics=self.metrics,
                positions=self.positions,
                attributes=self.attributes,
                diversity_by=self.diversity_by,
                attributes_id=self.attributes_id,
                categories=self.categories,
            )

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> RunSettings:
        """Take the settings from a configuration that has other keys, too."""
        return cls(**{one.name: config[one.name] for one in fields(cls)})


def _is_names(value: Any) -> bool:
    """Whether a value is a list of names, one at least."""
    fits = isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 0
    return fits and all(isinstance(name, str) and name for name in value)
