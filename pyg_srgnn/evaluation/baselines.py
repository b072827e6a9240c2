"""Evaluates a model and baselines that are fitted to the same training sessions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from pyg_srgnn.baselines import BASELINES
from pyg_srgnn.data.categories import Categories
from pyg_srgnn.datasets.base import SPLITS, SessionDataset
from pyg_srgnn.datasets.loader import SessionLoader
from pyg_srgnn.evaluation.beyond import BeyondMetrics
from pyg_srgnn.evaluation.kept import KeptResults, Result
from pyg_srgnn.evaluation.loop import evaluate_rows
from pyg_srgnn.evaluation.rank_table import describe_rows, read_ranks, write_ranks
from pyg_srgnn.evaluation.samples import Samples
from pyg_srgnn.evaluation.slices import by_category
from pyg_srgnn.evaluation.targets import TargetMetrics
from pyg_srgnn.evaluation.weighted_recall import weighted_recall
from pyg_srgnn.functional.metrics import BEYOND, TIES
from pyg_srgnn.utils.arguments import checking

POSITIONS = ("every", "last")


@dataclass(frozen=True)
class EvaluationSettings:
    """What is evaluated, and how; keys of ``conf/evaluate.yaml``.

    Args:
        split: The split whose targets are ranked.
        baselines: Baselines to evaluate on it.
        batch_size: Samples scored at once, at most; fewer where the catalogue is large.
        ties: See :func:`pyg_srgnn.evaluation.metrics.ranks`.
        metrics: Metrics beyond accuracy to compute of every scorer; see
            :class:`~pyg_srgnn.evaluation.beyond.BeyondMetrics`.
        positions: Which clicks are targets: ``"every"`` one but a session's first, or its
            ``"last"`` one alone (leave-last-out).
        attributes: A file of item attributes; see
            :func:`~pyg_srgnn.text.attribute_files.read_attributes`. None reads none.
        diversity_by: A column of it, by whose values items are alike in the diversity; None takes
            the vectors of the model's items.
        attributes_id: Its column of ids; None guesses it.
        categories: Its columns whose values are slices of the results and, in training, part of
            what a model knows of an item.

    Raises:
        ArgumentError: If values are not allowed.
    """

    split: str = "test"
    baselines: Sequence[str] = tuple(BASELINES)
    batch_size: int = 128
    ties: str = "conservative"
    metrics: Sequence[str] = ()
    positions: str = "every"
    attributes: str | None = None
    diversity_by: str | None = None
    attributes_id: str | None = None
    categories: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check every value."""
        with checking(self) as check:
            check.one_of("split", self.split, SPLITS)
            check.list_of("baselines", self.baselines, BASELINES)
            check.whole("batch_size", self.batch_size, 1)
            check.one_of("ties", self.ties, TIES)
            check.list_of("metrics", self.metrics, BEYOND)
            check.one_of("positions", self.positions, POSITIONS)
            check.text("attributes", self.attributes, optional=True)
            check.text("attributes_id", self.attributes_id, optional=True)
            fits = isinstance(self.categories, Sequence) and not isinstance(self.categories, str)
            fits = fits and all(isinstance(name, str) and name for name in self.categories)
            fits = fits and len(set(self.categories)) == len(self.categories)
            named = check.that(
                fits, "categories", "a list of columns, each one once", self.categories
            )
            without = self.attributes is None
            expected = "a column of attributes=FILE, with metrics=[diversity], or None"
            fits = self.diversity_by is None or not (without or "diversity" not in self.metrics)
            check.that(fits, "diversity_by", expected, self.diversity_by)
            if named:
                expected = "empty with attributes=None; they are columns of a file"
                fits = not (without and self.categories)
                check.that(fits, "categories", expected, self.categories)
                expected = "columns of the file, with attributes=FILE and without diversity_by"
                fits = without or bool(self.categories) or self.diversity_by is not None
                check.that(fits, "categories", expected, self.categories)
            if without:
                expected = "None with attributes=None; it is a column of a file"
                fits = self.attributes_id is None
                check.that(fits, "attributes_id", expected, self.attributes_id)


class Evaluation(NamedTuple):
    """Metrics of each scorer by its name, as fractions; the model first."""

    metrics: dict[str, dict[str, float]]
    """Over all targets."""
    targets: dict[str, dict[str, dict[str, float]]]
    """Over warm, rare and cold ones, each with its number of ``samples``; see
    :class:`~pyg_srgnn.evaluation.targets.TargetMetrics`."""
    categories: dict[str, dict[str, dict[str, dict[str, float]]]]
    """By the target's value in each column of categories, see
    :func:`~pyg_srgnn.evaluation.slices.by_category`; empty without, or where no ranks are kept."""


def evaluate_with_baselines(
    model: Any,
    baselines: Iterable[str],
    training: SessionDataset,
    loader: SessionLoader,
    ties: str = "conservative",
    device: torch.device | str = "cpu",
    name: str = "model",
    ranks: Path | None = None,
    progress: bool = True,
    beyond: Sequence[str] = (),
    vectors: Tensor | None = None,
    categories: Categories | None = None,
) -> Evaluation:
    """Evaluate a model and baselines on the same samples.

    The results of baselines are kept beside the data, see
    :class:`~pyg_srgnn.evaluation.kept.KeptResults`: of the same data they are counted once.

    Args:
        model: A model with ``scores(data)``, in evaluation mode; None for the baselines alone.
        baselines: Names of baselines, such as ``"markov"``.
        training: The sessions that the baselines are fitted to; their clicks make a target warm,
            rare or cold.
        loader: The samples.
        ties: See :func:`pyg_srgnn.evaluation.metrics.ranks`. (default: ``"conservative"``)
        device: Where to score. (default: ``"cpu"``)
        name: The model's name in the result. (default: ``"model"``)
        ranks: The file ``ranks.parquet`` to write, if there is a model. (default: None)
        progress: Whether to show progress bars. (default: True)
        beyond: Metrics beyond accuracy to compute as well. (default: none)
        vectors: A vector of each item, for the diversity of all scorers' lists. (default: those of
            the model's items)
        categories: Categories of the dataset's items; see
            :func:`~pyg_srgnn.evaluation.rank_table.describe_rows`. (default: none)

    Raises:
        ValueError: If the diversity is asked for without a model.
    """
    dataset = loader.source
    clicks = torch.bincount(training.sessions.items, minlength=dataset.num_items)
    if "diversity" in beyond and vectors is None:
        if not hasattr(model, "similarity_vectors"):
            raise ValueError(
                "metrics=[diversity]: it is that of the vectors of a model's items, which a "
                "baseline lacks; diversity_by=COLUMN takes an attribute"
            )
        vectors = model.similarity_vectors()

    def evaluated(scorer_name: str, scorer: Any) -> Result:
        by_target = TargetMetrics(clicks).to(device)
        metrics, found = evaluate_rows(
            scorer.to(device),
            loader,
            dataset.num_items,
            ties,
            device,
            description=scorer_name if progress else None,
            by_target=by_target,
            beyond=BeyondMetrics(clicks, beyond, vectors).to(device) if beyond else None,
        )
        # Of a subset of the types there is no such mean.
        if dataset.recall is not None and dataset.recall.weights.keys() <= dataset.events.keys():
            metrics |= weighted_recall(scorer, dataset, dataset.recall, device=device)
        return Result(metrics, by_target.compute(), found)

    results = {} if model is None else {name: evaluated(name, model)}
    kept = KeptResults(training, loader, ties, beyond)
    for baseline in baselines:
        found = kept.read(baseline)
        if found is None:
            fitted = BASELINES[baseline].fit(training.sessions, training.num_items)
            found = evaluated(baseline, fitted)
            kept.write(baseline, found)
        results[baseline] = found
    of_category = {}
    if model is not None and ranks is not None:
        of = {scorer_name: each.ranks for scorer_name, each in results.items()}
        write_ranks(ranks, describe_rows(dataset, training.sessions, categories), of.pop(name), of)
        if categories is not None:
            table = read_ranks(ranks)
            of_category = {
                scorer: by_category(Samples.average([table], None if scorer == name else scorer))
                for scorer in results
            }
    return Evaluation(
        {scorer_name: each.metrics for scorer_name, each in results.items()},
        {scorer_name: each.targets for scorer_name, each in results.items()},
        of_category,
    )
