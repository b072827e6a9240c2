"""Evaluates what needs no training for docs/item_text.md, and makes the table of that page.

    python -m study.item_text --root DIR --mirror DIR     after python -m study.item_text_jobs

Two seeds of the model without texts are mixed, which says what an ensemble alone brings, and the
nearest texts of the last click are ranked, which nothing is trained for. The results are kept in
study/item_text/derived.json; ``python -m study.results`` writes the table into the page.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.datasets import SessionDataset, SessionLoader, open_dataset
from pyg_srgnn.evaluation.loop import Scorer, evaluate_rows
from pyg_srgnn.evaluation.targets import TargetMetrics
from pyg_srgnn.functional.metrics import MAIN
from pyg_srgnn.functional.targets import GROUPS
from pyg_srgnn.runs.finished import Run
from pyg_srgnn.utils.files import write_text
from study.item_text_jobs import DATASETS, RECORDS, VARIANT_KEYS
from study.jobs import ROOT, SEEDS

DERIVED = "derived.json"
NEAREST, PAIR = "text_neighbours", "ids_ids"
ROWS = {
    "ids": "ids, the default without texts",
    PAIR: "ids + ids, two seeds mixed",
    NEAREST: "nearest texts, untrained",
    "text": "table alone: `item_table=text`",
    "sum": "table alone: `sum`",
    "delta": "table alone: `delta`",
    "null_space": "table alone: `null_space`",
    "neighbours": "mixture without the text expert",
    "expert": "mixture without the text neighbours",
    "mixture": "**mixture, the default**",
    "null_space_mixture": "mixture on `null_space`",
    "shuffled": "mixture, texts shuffled",
    "stan": "STAN",
    "vsknn": "VSKNN",
}
TITLES = {
    "scientific": "Scientific",
    "online_retail": "Online Retail",
    "online_retail-lines": "Online Retail, lines of each invoice shuffled",
    "online_retail-cold": "Online Retail, split at 70 % of the invoices, cold items kept",
}

Figures = dict[str, dict[str, float]]
"""Metrics of ``"all"`` targets and of each group."""


class NearestTexts:
    """Ranks items by the cosine of their whitened texts to that of the last click.

    Args:
        vectors: Whitened texts [V, F].
    """

    def __init__(self, vectors: Tensor) -> None:
        self.vectors = vectors

    def scores(self, data: Data) -> Tensor:
        """Cosines of every item [B, V]; the session's own items come last."""
        clicks = torch.bincount(data.batch[data.alias_index], minlength=data.num_graphs)
        last = data.x[data.alias_index[clicks.cumsum(0) - 1]]
        scores = self.vectors[last] @ self.vectors.T
        scores[data.batch, data.x] = -torch.inf
        return scores


class Mixed:
    """The mean of the probabilities of several models.

    Args:
        models: Models whose scores are log-probabilities.
    """

    def __init__(self, models: Sequence[Scorer]) -> None:
        self.models = models

    def scores(self, data: Data) -> Tensor:
        """Logarithms, but for a constant [B, V]."""
        return torch.stack([model.scores(data) for model in self.models]).logsumexp(dim=0)


def derive(runs: Path, **places: str) -> dict[str, dict[str, list[Figures]]]:
    """Evaluate what is made of the trained models, once for each seed or pair of seeds.

    Args:
        runs: The directories of the runs, with their checkpoints.
        **places: ``root`` and ``mirror`` of the datasets.
    """
    found: dict[str, dict[str, list[Figures]]] = {}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for dataset in DATASETS:
        for variant in ("", *(f"-{name}" for name in VARIANT_KEYS if dataset == "online_retail")):
            folders = [runs / dataset / f"ids{variant}" / str(seed) for seed in SEEDS]
            ready = [folder for folder in folders if (folder / "metrics.json").is_file()]
            if not ready:
                continue
            settings = Run.read(ready[0]).config
            arguments = {
                key.removeprefix("dataset."): value
                for key, value in settings.items()
                if key.startswith("dataset.")
            } | places
            training, test = (open_dataset(arguments, split) for split in ("train", "test"))
            models = [Checkpoint.load(folder).model.to(device) for folder in ready]
            pairs = map(Mixed, combinations(models, 2))
            rows: dict[str, list[Figures]] = {
                PAIR: [_evaluate(pair, training, test, device) for pair in pairs]
            }
            texts = runs / dataset / f"mixture{variant}" / "0"
            if (texts / "metrics.json").is_file():
                text = Checkpoint.load(texts).model.text
                assert text is not None, "the mixture has texts"
                nearest = NearestTexts(text.vectors.to(device))
                rows[NEAREST] = [_evaluate(nearest, training, test, device)]
            found[dataset + variant] = rows
    return found


@torch.inference_mode()
def _evaluate(
    scorer: Scorer, training: SessionDataset, test: SessionDataset, device: torch.device
) -> Figures:
    clicks = torch.bincount(training.sessions.items, minlength=test.num_items)
    by_target = TargetMetrics(clicks).to(device)
    loader = SessionLoader(test, 128)
    every, _ = evaluate_rows(scorer, loader, test.num_items, device=device, by_target=by_target)
    return {"all": every, **by_target.compute()}


def table(folder: Path) -> list[str]:
    """The table of the page from the records that are kept, a part for each dataset."""
    lines: list[str] = []
    for part, title in TITLES.items():
        rows = dict(_rows(folder, part))
        if not rows:
            continue
        shares = next(iter(rows.values()))[0]
        total = sum(shares[group]["samples"] for group in ("warm", "cold"))
        groups = ["all", *(group for group in GROUPS if shares[group]["samples"])]
        heads = [
            group if group == "all" else f"{group} ({shares[group]['samples'] / total:.1%})"
            for group in groups
        ]
        lines += ["", f"**{title}**, HR@20 / MRR@20", ""]
        lines += [f"| | seeds | {' | '.join(heads)} |", "|---" * (len(groups) + 2) + "|"]
        for label, seeds in rows.items():
            cells = (" / ".join(_stat(seeds, group, name) for name in MAIN) for group in groups)
            lines.append(f"| {ROWS[label]} | {len(seeds)} | {' | '.join(cells)} |")
    return lines[1:] or ["*No runs of this kind in study/item_text.*"]


def _rows(folder: Path, part: str) -> Iterator[tuple[str, list[Figures]]]:
    """Figures of each seed of every row of a part, in the order of :data:`ROWS`."""
    dataset, dash, variant = part.partition("-")
    derived = folder / DERIVED
    made = json.loads(derived.read_text(encoding="utf-8")) if derived.is_file() else {}
    ids: list[Figures] = []
    for label in ROWS:
        if label in (PAIR, NEAREST):
            seeds = made.get(part, {}).get(label, [])
        elif label in ("stan", "vsknn"):
            first = folder / dataset / f"ids{dash}{variant}" / "0"
            seeds = [_figures(first, label)] if ids else []
        else:
            runs = sorted((folder / dataset).glob(f"{label}{dash}{variant}/[0-9]*"))
            seeds = [_figures(run) for run in runs]
            ids = ids or seeds
        if seeds:
            yield label, seeds


def _figures(run: Path, baseline: str | None = None) -> Figures:
    result = Run.read(run).result
    assert result.test is not None and result.targets is not None, "every run is tested"
    if baseline is None:
        return {"all": result.test, **result.targets[result.model]}
    return {"all": result.baselines[baseline]["test"], **result.targets[baseline]}


def _stat(seeds: Iterable[Figures], group: str, name: str) -> str:
    values = [100 * figures[group][name] for figures in seeds]
    spread = f" ± {stdev(values):.2f}" if len(values) > 1 else ""
    return f"{mean(values):.2f}{spread}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate and keep the results."""
    parser = argparse.ArgumentParser(description="what needs no training, for docs/item_text.md")
    parser.add_argument("--root", default="datasets", help="where the datasets lie")
    parser.add_argument("--mirror", help="a folder or URL to take their files from")
    given: dict[str, Any] = vars(parser.parse_args(arguments))
    places = {key: value for key, value in given.items() if value is not None}
    found = derive(ROOT / "runs" / RECORDS.name, **places)
    path = RECORDS / DERIVED
    # What was made of runs that lie elsewhere stays.
    kept = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    write_text(path, json.dumps(kept | found, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
