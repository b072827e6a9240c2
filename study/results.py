"""Makes every table of the study anew from the runs that study/runs keeps.

    python -m study.results            tables, pictures, and the marked blocks
    python -m study.results --check    exit status 1 if that would change a text

A block of README.md, docs/results.md or docs/ablation.md lies between the comments NAME and
/NAME; the functions of ``BLOCKS`` write what is between them.
``study.keep.keep`` puts a run into study/runs.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from pyg_srgnn.baselines import BASELINES
from pyg_srgnn.evaluation.samples import Samples, require_same
from pyg_srgnn.evaluation.significance import Difference, paired_bootstrap
from pyg_srgnn.evaluation.slices import Slice, slices
from pyg_srgnn.functional.metrics import MAIN, columns, title
from pyg_srgnn.functional.targets import RARE
from pyg_srgnn.reports.slices import draw_slices
from pyg_srgnn.runs.finished import Stat
from pyg_srgnn.utils.files import written_aside
from study.ablation import Ablation, draw_ablations
from study.configurations import Configuration, read_configurations, read_study
from study.item_text import table as item_text_table

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/results.md", "docs/ablation.md", "docs/item_text.md")
NONE = "*No runs of this kind in study/runs.*"
RESAMPLES = 10_000
_SUMMARY_ROWS = 20
SUMMARY = ("srgnn", "ensemble", "gru4rec", "srgnn_plain")
DATASETS = {
    "diginetica": "Diginetica",
    "yoochoose1_64": "Yoochoose 1/64",
    "tmall": "Tmall",
    "nowplaying": "Nowplaying",
    "synthetic": "synthetic",
}
MODELS = {
    "srgnn": "SR-GNN",
    "srgnn_fewer_counts": "SR-GNN, fewer counts",
    "srgnn_plain": "SR-GNN, plain",
    "srgnn_literature": "SR-GNN, fewer counts, best test epoch",
    "distilled": "SR-GNN, distilled from the ensemble",
    "ensemble": "ensemble: two SR-GNN, GRU4Rec",
    "gru4rec": "GRU4Rec",
    "vsknn": "VSKNN",
    "stan": "STAN",
    "item_knn": "item-KNN",
    "sequential_rules": "sequential rules",
    "markov": "Markov, first order",
    "session_popularity": "session popularity",
    "popularity": "popularity",
}
# HR@20 and MRR@20 as their papers have them: the best test epoch of each.
PUBLISHED = {
    "diginetica": {
        "SR-GNN, paper": (50.73, 17.59),
        "NISER+": (53.39, 18.72),
        "GCE-GNN": (54.22, 19.04),
        "SGNN-HN": (55.67, 19.45),
    },
    "yoochoose1_64": {
        "SR-GNN, paper": (70.57, 30.94),
        "NISER+": (71.27, 31.61),
        "GCE-GNN": (72.18, 30.84),
        "SGNN-HN": (72.06, 32.61),
    },
}
_MARKER = re.compile(r"<!-- *(/?(?!shell)[\w-]+) *-->")  # docs/outputs.py has the blocks of a shell


class Study:
    """The runs that study/runs holds.

    Args:
        folder: That folder.
    """

    def __init__(self, folder: Path) -> None:
        tested = [found for found in read_study(folder) if found.has("test")]
        self.tested = sorted(tested, key=_order)
        self.item_text = item_text_table(folder.with_name("item_text"))
        self.ablations = _ablations(folder, "ablation")
        self.screens = _ablations(folder, "screen")
        self.full = _ablations(folder, "full")
        self._samples: dict[tuple[str, str], Samples | None] = {}

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that all of the tested runs have."""
        runs = [run.result.test or {} for one in self.tested for run in one.runs]
        return [name for name in (*columns(), "tied") if all(name in of for of in runs)]

    def datasets(self) -> list[tuple[str, list[Configuration]]]:
        """The tested configurations of every dataset, as :func:`_order` has them."""
        return [(name, list(found)) for name, found in groupby(self.tested, lambda f: f.dataset)]

    def ranked(self) -> list[tuple[str, list[tuple[Configuration, Samples]]]]:
        """Those of them whose runs have kept their ranks, with the samples."""
        every = []
        for name, found in self.datasets():
            known = [(one, samples) for one in found if (samples := self._of(one)) is not None]
            if known:
                every.append((name, known))
        return every

    def slices(self) -> dict[str, dict[str, list[Slice]]]:
        """The slices of each of these, by the names of datasets and models."""
        return {
            dataset: {_model(one): slices(samples) for one, samples in found}
            for dataset, found in self.ranked()
        }

    def _of(self, one: Configuration) -> Samples | None:
        key = (one.dataset, one.label)
        if key not in self._samples:
            self._samples[key] = one.samples()
        return self._samples[key]


def headline(study: Study) -> list[str]:
    """HR@20 and MRR@20 of every configuration, and of the papers; the best that is ours bold."""
    rows = []
    for dataset, found in study.datasets():
        honest = [one for one in found if one.protocol == "honest"]
        best = [max((one.percent(metric).mean for one in honest), default=0) for metric in MAIN]
        lines = []
        for one in found:
            stats = [one.percent(metric) for metric in MAIN]
            cells = [
                f"**{_stat(stat)}**"
                if one.protocol == "honest" and stat.mean == most
                else _stat(stat)
                for stat, most in zip(stats, best, strict=True)
            ]
            lines.append([_model(one), _protocol(one), str(len(one.seeds)), *cells])
        for name, (hr, mrr) in PUBLISHED.get(dataset, {}).items():
            lines.append([f"*{name}*", "*best test epoch*", "", f"*{hr:.2f}*", f"*{mrr:.2f}*"])
        rows += _under(dataset, lines)
    return _table(("test set", "model", "protocol", "seeds", *map(title, MAIN)), rows)


def summary(study: Study) -> list[str]:
    """As many rows of :func:`headline` as the README has room for, alike for all datasets.

    A dataset on which nothing was trained is left out.
    """
    trained = [
        (dataset, found)
        for dataset, found in study.datasets()
        if any(one.label in SUMMARY for one in found)
    ]
    most = _SUMMARY_ROWS // max(1, len(trained))
    rows = []
    for dataset, found in trained:
        counting = [one for one in found if one.model in BASELINES][:1]  # the best one
        models = [one for one in found if one.label in SUMMARY]
        published = PUBLISHED.get(dataset, {})
        best = max(published, key=lambda name: published[name][1], default=None)
        lines = [[_model(one), *(_stat(one.percent(m)) for m in MAIN)] for one in models + counting]
        lines = lines[: most - (best is not None)]
        if best is not None:
            lines.append([f"*{best}, best test epoch*", *(f"*{v:.2f}*" for v in published[best])])
        lines.sort(key=lambda line: float(line[-1].strip("*").split()[0]), reverse=True)
        rows += _under(dataset, lines)
    return _table(("test set", "model", *map(title, MAIN)), rows)


def metrics(study: Study) -> list[str]:
    """All metrics, and the commands."""
    rows = []
    for dataset, found in study.datasets():
        lines = [
            [
                *(_model(one), *(f"{one.percent(metric).mean:.2f}" for metric in study.metrics)),
                *(_seconds(one), one.device, _count(one)),
            ]
            for one in found
        ]
        rows += _under(dataset, lines)
    names = map(title, study.metrics)
    head = ("test set", "model", *names, "seconds of training", "on", "parameters")
    return _table(head, rows) + _commands(study.tested)


def slice_table(study: Study) -> list[str]:
    """HR@20 / MRR@20 by prefix length and repeated or new targets, by clicks, and by popularity."""
    every = study.slices()
    tables = [_slice_table(every, kinds) for kinds in (("prefix", "target"), ("decile",))]
    if not every:
        return tables[0]
    clicks = {dataset: _with(found, "clicks") for dataset, found in every.items()}
    clicks = {dataset: found for dataset, found in clicks.items() if found}
    by_clicks = [
        "",
        f"By the target's clicks in training: warm from 1, rare up to {RARE}, cold without any:",
        "",
        *_slice_table(clicks, ("clicks",)),
    ]
    head = [
        "",
        "By the target's popularity decile, 1 for the most popular tenth of the items:",
        "",
    ]
    pictures = [line for name in every for line in ("", f"![{_dataset(name)}]({_picture(name)})")]
    return tables[0] + (by_clicks if clicks else []) + head + tables[1] + pictures


def _with(found: Mapping[str, list[Slice]], kind: str) -> dict[str, list[Slice]]:
    """The models whose ranks give slices of a kind."""
    return {model: of for model, of in found.items() if any(part.kind == kind for part in of)}


def _slice_table(every: Mapping[str, Mapping[str, list[Slice]]], kinds: Sequence[str]) -> list[str]:
    """The slices of some kinds, of every dataset and model."""
    rows, names = [], []
    for dataset, found in every.items():
        chosen = {model: [s for s in of if s.kind in kinds] for model, of in found.items()}
        first = next(iter(chosen.values()))
        names = [part.name for part in first]
        lines = [["*share of the samples*", *(f"{part.share:.1f} %" for part in first)]]
        for model, of in chosen.items():
            cells = (_figures(part) for part in of)
            lines.append([model, *cells])
        rows += _under(dataset, lines)
    return _table(("test set", "model", *names), rows)


def bootstrap(study: Study) -> list[str]:
    """The best model against the best other one, the best baseline and plain SR-GNN."""
    rows = []
    for dataset, found in study.ranked():
        (best, of_best), *others = found
        other = next((pair for pair in others if pair[0].model != best.model), None)
        baseline = next((pair for pair in others if pair[0].model in BASELINES), None)
        plain = next((pair for pair in others if pair[0].label == "srgnn_plain"), None)
        rivals = {pair[0].label: pair for pair in (other, baseline, plain) if pair is not None}
        lines = []
        for rival, of_rival in rivals.values():
            apart = paired_bootstrap(of_best, of_rival, RESAMPLES)
            cells = (_interval(apart[metric]) for metric in MAIN)
            sessions = f"{len(of_best.starts()):,}"
            lines.append([_model(best), _model(rival), sessions, *cells])
        rows += _under(dataset, lines)
    differences = (f"{title(metric)}, difference" for metric in MAIN)
    return _table(("test set", "model", "against", "sessions", *differences), rows)


def union(study: Study) -> list[str]:
    """How many targets any model finds: HR@20 of who would choose the right list for each sample.

    A configuration has found a target if one of its runs has.

    Raises:
        ValueError: If the test sets of a dataset's runs are different ones.
    """
    rows = []
    for dataset, found in study.ranked():
        for _, samples in found[1:]:
            require_same(found[0][1].rows, samples.rows)
        of = [samples.values["hr@20"] for _, samples in found]
        trained = [hr for hr, (one, _) in zip(of, found, strict=True) if one.model not in BASELINES]
        models = f"{len(trained)} and {len(of) - len(trained)}"
        shares = [of[0], *(np.any(each, axis=0) if each else None for each in (trained, of))]
        cells = ("" if each is None else f"{100 * each.mean():.2f}" for each in shares)
        rows += _under(dataset, [[models, _model(found[0][0]), *cells]])
    titles = "trained and counting models", "best", "its HR@20", "any trained", "any"
    return _table(("test set", *titles), rows)


def ablation(study: Study) -> list[str]:
    """The change by every ingredient on validation, the greatest gain first."""
    picture = ["![What each ingredient changes](ablation.png)", ""] if study.ablations else []
    return picture + _changes(study.ablations)


def screen(study: Study) -> list[str]:
    """Likewise, of ingredients that are off."""
    return _changes(study.screens)


def full(study: Study) -> list[str]:
    """Likewise, in trainings of full length."""
    return _changes(study.full)


def _changes(ablations: Iterable[Ablation]) -> list[str]:
    """A table of ablations, and the commands."""
    rows, every = [], []
    for part in ablations:
        lines = []
        for one in (part.default, *part.others):
            cells = []
            for metric in MAIN:
                apart = "" if one is part.default else _signed(part.change(one, metric))
                cells += [_stat(one.percent(metric, "valid")), apart]
            lines.append([_plain(one.label), str(len(one.seeds)), *cells, _seconds(one)])
        rows += _under(part.dataset, lines)
        every += [part.default, *part.others]
    names = (name for metric in MAIN for name in (title(metric), ""))
    head = ("validation", "configuration", "seeds", *names, "seconds")
    return _table(head, rows) + _commands(every)


BLOCKS: dict[str, Callable[[Study], list[str]]] = {
    "summary": summary,
    "headline": headline,
    "metrics": metrics,
    "slices": slice_table,
    "bootstrap": bootstrap,
    "union": union,
    "ablation": ablation,
    "screen": screen,
    "full": full,
    "item_text": lambda study: study.item_text,
}


def table_file(study: Study) -> str:
    """study/results.csv: one line per configuration, figures in percent."""
    order = (*MAIN, *(metric for metric in study.metrics if metric not in MAIN))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["dataset", "model", "protocol", "seeds"]
        + [name for metric in order for name in (metric, f"{metric}_sd")]
        + ["train_seconds", "device", "parameters", "command"]
    )
    for one in study.tested:
        cells: list[object] = [one.dataset, one.label, one.protocol, len(one.seeds)]
        for mean, sd in map(one.percent, order):
            cells += [f"{mean:.2f}", "" if sd is None else f"{sd:.2f}"]
        cells += [f"{one.seconds.mean:.1f}", one.device, one.parameters]
        writer.writerow([*cells, " && ".join(one.commands)])
    return file.getvalue()


def fill(text: str, page: str, blocks: Callable[[str], list[str]]) -> str:
    """Replace the blocks of a page.

    Args:
        text: The page.
        page: Its name.
        blocks: The lines of a block by its name.

    Raises:
        ValueError: If a marker is unknown, or not in a pair.
    """
    parts = _MARKER.split(text)  # text, marker, text, marker, …
    result, opened = [parts[0]], ""
    for marker, after in zip(parts[1::2], parts[2::2], strict=True):
        name = marker.removeprefix("/")
        if name not in BLOCKS:
            raise ValueError(f"{page}: unknown marker {name!r}; there are {', '.join(BLOCKS)}")
        if opened != (name if marker.startswith("/") else ""):
            raise ValueError(f"{page}: marker {marker!r} where {opened or 'none'!r} is open")
        if not opened:
            after = "\n" + "\n".join(blocks(name)) + "\n"
        result += [f"<!-- {marker} -->", after]
        opened = "" if opened else name
    if opened:
        raise ValueError(f"{page}: marker {opened!r} is not closed")
    return "".join(result)


def texts(root: Path, study: Study) -> dict[Path, str]:
    """All texts as they should be."""
    made: dict[str, list[str]] = {}

    def block(name: str) -> list[str]:
        if name not in made:
            made[name] = BLOCKS[name](study)
        return made[name]

    result = {root / "study" / "results.csv": table_file(study)}
    for page in PAGES:
        path = root / page
        text = fill(path.read_text(encoding="utf-8"), page, block)
        # A picture lies in docs, and its link is relative to the page.
        result[path] = (
            text if "/" in page else text.replace("](ablation.png)", "](docs/ablation.png)")
        )
    return result


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Write what has changed, or with ``--check`` say what would."""
    parser = argparse.ArgumentParser(description="tables of the study from study/runs")
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if a text is old")
    check = parser.parse_args(arguments).check
    study = Study(root / "study" / "runs")
    old = []
    for path, text in texts(root, study).items():
        if not path.is_file() or path.read_bytes() != text.encode():
            old.append(path.relative_to(root).as_posix())
            if not check:
                with written_aside(path) as aside:
                    aside.write_bytes(text.encode())
    if old:
        print(f"{'old, run python -m study.results' if check else 'written'}: {', '.join(old)}")
    if not check:
        for dataset, found in study.slices().items():
            draw_slices(found, root / "docs" / _picture(dataset))
    if study.ablations and not check:
        names = [_dataset(part.dataset) for part in study.ablations]
        draw_ablations(study.ablations, names, root / "docs" / "ablation.png")
    return int(check and bool(old))


def _order(one: Configuration) -> tuple[tuple[int, str], bool, float]:
    """The best HR@20 of a dataset first, what was chosen on the test set behind what was not."""
    return _place(one.dataset), one.protocol != "honest", -one.percent("hr@20").mean


def _ablations(folder: Path, name: str) -> list[Ablation]:
    """The ablations of a name, of the datasets that have one."""
    found = sorted(folder.glob(f"*/{name}"), key=lambda path: _place(path.parent.name))
    return [Ablation(path) for path in found if read_configurations(path)]


def _place(dataset: str) -> tuple[int, str]:
    """Known datasets in their order, others behind them."""
    known = list(DATASETS)
    return (known.index(dataset) if dataset in known else len(known), dataset)


def _dataset(name: str) -> str:
    return DATASETS.get(name, name)


def _picture(dataset: str) -> str:
    return f"slices_{dataset}.png"


def _model(one: Configuration) -> str:
    return MODELS.get(one.label, _plain(one.label))


def _plain(label: str) -> str:
    return label.replace("_", " ")


def _protocol(one: Configuration) -> str:
    if one.protocol == "literature":
        return "literature: best test epoch"
    return f"{one.protocol}, refit" if one.refit else one.protocol


def _figures(part: Slice) -> str:
    return " / ".join(f"{value:.2f}" for value in part.metrics.values()) if part.samples else ""


def _stat(stat: Stat) -> str:
    return f"{stat.mean:.2f}" if stat.sd is None else f"{stat.mean:.2f} ± {stat.sd:.2f}"


def _signed(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f}".replace("-", "−")  # never −0.00


def _interval(apart: Difference) -> str:
    mean, low, high = map(_signed, apart[:3])
    return f"{mean} ({low} to {high})"


def _seconds(one: Configuration) -> str:
    mean = one.seconds.mean
    return f"{mean:,.0f}" if mean >= 10 else f"{mean:.1f}"


def _count(one: Configuration) -> str:
    return "" if one.parameters is None else f"{one.parameters:,}"


def _under(dataset: str, rows: Iterable[Sequence[str]]) -> list[list[str]]:
    """The rows of a dataset, its name in the first one."""
    return [["" if i else _dataset(dataset), *row] for i, row in enumerate(rows)]


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", *lines] if lines else [NONE]


def _commands(configurations: Sequence[Configuration]) -> list[str]:
    """The commands, one a line, in a block of their own."""
    if not configurations:
        return []
    commands = [command for one in configurations for command in one.commands]
    return ["", "```", *commands, "```"]


if __name__ == "__main__":
    sys.exit(main())
