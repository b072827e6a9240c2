"""Writes what a model's card says of its data and limits, and the card of a shared model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyg_srgnn.checkpoint import Checkpoint

_LIMITS = """\
{items}
- A session without a known item gets the most popular items of the training sessions, and says so.
- It sees the clicks of one session, in their order: nothing of who clicks, of earlier sessions, of
  prices{texts} or times. Nothing beyond the session is personal.
- It learned from what was shown and clicked then. What was never shown was never clicked, and
  tastes change: the metrics hold for the days right after the training sessions.
- {scores}"""
_ITEMS = """\
- It knows the items that it was trained on, and no others: unknown ids are left out of a session.
  New items need a new training (`warm_start=OLD_RUN` starts from the old weights)."""
_ITEMS_WITH_TEXT = """\
- It knows the items of its catalogue; unknown ids are left out of a session. New items are added by
  their texts (`srgnn-export add_items=FILE`). What is cold is known by its text alone, and ranked
  less well than what was clicked."""
_ITEMS_OF_MIXTURE = """\
- It knows the items of its catalogue; unknown ids are left out of a session. Items cannot be added
  to a mixture of models. What is cold is known by its text alone, and ranked less well than what
  was clicked."""
_NAMES = ("name", "version")
_MIXTURE = (
    "Scores are logarithms of probabilities over the whole catalogue, to rank items within a\n"
    "  session. They were not calibrated."
)
_PRODUCT = "Scores rank items within a session. They are no probabilities."
_SHOWN = ("hr@20", "mrr@20", "ndcg@20")
_LIBRARY = "---\nlibrary_name: pyg_srgnn\n"
_HEAD = f"""\
{_LIBRARY}tags:
- recommender-system
- session-based-recommendation
- graph-neural-network
- sr-gnn
{{results}}---
"""


def limits(checkpoint: Checkpoint, log_probabilities: bool) -> str:
    """What the model cannot do, a line each.

    Args:
        checkpoint: The model.
        log_probabilities: Whether its scores are logarithms of probabilities.
    """
    items, texts = _ITEMS, texts_of(checkpoint)
    if texts:
        items = _ITEMS_OF_MIXTURE if checkpoint.text is None else _ITEMS_WITH_TEXT
    return _LIMITS.format(
        scores=_MIXTURE if log_probabilities else _PRODUCT,
        texts="" if texts else ", texts",
        items=items,
    )


def data_lines(checkpoint: Checkpoint, dataset: Mapping[str, Any]) -> list[str]:
    """The data that the model was trained on.

    Args:
        checkpoint: The model.
        dataset: Name of the dataset and what made its sessions of a log.
    """
    lines = [
        f"- Dataset `{dataset['name']}`, split `{checkpoint.split}`: "
        f"{len(checkpoint.vocabulary):,} items, {int(checkpoint.clicks.sum()):,} clicks in training"
    ]
    if cold := int((checkpoint.clicks == 0).sum()):
        lines.append(f"- Cold items, without a click in training: {cold:,}")
    rules = {key: value for key, value in dataset.items() if key != "name" and value is not None}
    if rules:
        prepared = ", ".join(f"{key}={value}" for key, value in rules.items())
        lines.append(f"- Prepared with {prepared}")
    told = [_text(text, len(checkpoint.vocabulary)) for text in texts_of(checkpoint)]
    if (known := checkpoint.categories) is not None:
        columns = ", ".join(
            f"`{name}` ({len(values):,})"
            for name, values in zip(known["columns"], known["values"], strict=True)
        )
        told.append(
            f"- Categories of {known['items']:,} of {len(checkpoint.vocabulary):,} items, from "
            f"`{Path(known['source']).name}`, values of {columns}"
        )
    return lines + list(dict.fromkeys(told))  # members often have the same


def texts_of(checkpoint: Checkpoint) -> list[Mapping[str, Any]]:
    """What describes the texts of the model, or of each member of a mixture that has some."""
    found: list[Mapping[str, Any]] = []
    waiting = [checkpoint.text, checkpoint.member_texts]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, list):
            waiting += one
        elif one is not None:
            found.append(one)
    return found


def shared_card(checkpoint: Checkpoint) -> str:
    """The card of a model that is shared, as the Hugging Face hub shows it."""
    name, dataset = checkpoint.settings["name"], checkpoint.dataset["name"]
    described = {"name": dataset} | (checkpoint.preparation or {})
    return f"""{front_matter(name, dataset, checkpoint.metrics)}
# {name} on {dataset}

The next items of a session of clicks, by pyg_srgnn.

## How to use it

```python
from pyg_srgnn import Recommender

recommender = Recommender.from_pretrained("USER/NAME")  # or Recommender.load("FOLDER")
recommender.recommend([["raw id", "raw id"]], k=20)
```

It is safetensors and JSON; nothing in it is executed when it is loaded.

## Data

{chr(10).join(data_lines(checkpoint, described))}

## Metrics

{_metrics(checkpoint)}

## What it cannot do

{limits(checkpoint, checkpoint.scorer.log_probabilities)}
"""


def front_matter(name: str, dataset: str, metrics: Mapping[str, Any] | None = None) -> str:
    """The YAML in front of a card by which the hub finds a model and shows its metrics.

    Args:
        name: Name of the model.
        dataset: Name of the dataset.
        metrics: Its metrics, as :class:`~pyg_srgnn.checkpoint.Checkpoint` has them.
            (default: None)
    """
    lines = []
    for part, found in (metrics or {}).items():
        lines += [
            "  - task:",
            "      type: session-based-recommendation",
            "    dataset:",
            f"      name: {dataset}",
            f"      type: {dataset}",
            f"      split: {part}",
            "    metrics:",
        ]
        for metric in (one for one in _SHOWN if one in found):
            lines += [f"    - type: {metric}", f"      value: {found[metric]:.6f}"]
    results = ""
    if lines:
        results = "\n".join(["model-index:", f"- name: {name}", "  results:", *lines, ""])
    return _HEAD.format(results=results)


def is_front_matter(text: str) -> bool:
    """Whether a text begins as :func:`front_matter` does."""
    return text.startswith(_LIBRARY)


def _metrics(checkpoint: Checkpoint) -> str:
    """The metrics of its run as a table."""
    if not checkpoint.metrics:
        return "Not known: this is not the final checkpoint of a run."
    rows = [
        f"| {part} | " + " | ".join(f"{100 * found[one]:.2f}" for one in _SHOWN) + " |"
        for part, found in checkpoint.metrics.items()
    ]
    head = f"| percent | {' | '.join(_SHOWN)} |"
    told = f"Protocol {checkpoint.protocol}, split `{checkpoint.split}`."
    if "valid" in checkpoint.metrics:
        told += " The validation sessions chose the epoch."
    if "valid" in checkpoint.metrics and checkpoint.split == "trainval":
        told += "\nThen the model was trained once more on them, too; these metrics are of before."
    return "\n".join([told, "", head, "|---" * (len(_SHOWN) + 1) + "|", *rows])


def _text(text: Mapping[str, Any], items: int) -> str:
    """The texts of the items, and what has seen them."""
    encoder, columns = text["encoder"], ", ".join(f"`{name}`" for name in text["columns"])
    made = "ready-made vectors"
    seen = "No text left the machine in this training."
    if encoder is not None:
        settings = [f"{key}={value}" for key, value in encoder.items() if key not in _NAMES]
        made = " ".join([f"encoder `{encoder['name']}`", encoder["version"], *settings])
        if encoder["name"] == "http":
            seen = "The texts were sent to this encoder's endpoint, and nowhere else."
    return (
        f"- Text of {text['items']:,} of {items:,} items, from `{Path(text['source']).name}`"
        f"{columns and ', columns '}{columns}: {made}, {text['dimensions']:,} dimensions. {seen}"
    )
