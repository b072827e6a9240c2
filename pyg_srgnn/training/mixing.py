"""Mixes trained models: fits the weights of a mixture to the validation sessions."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Batch

from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.data.graphs import session_of_node
from pyg_srgnn.datasets import SessionDataset
from pyg_srgnn.datasets.loader import SessionLoader
from pyg_srgnn.evaluation.loop import evaluate
from pyg_srgnn.functional.mixture_weights import TEMPERATURES, best_temperatures, mixture_weights
from pyg_srgnn.functional.model_mixture import log_complement, split
from pyg_srgnn.nn.model_mixture import MIXTURE, WEIGHTS, ModelMixture
from pyg_srgnn.runs.result import Metrics
from pyg_srgnn.training.callbacks import SafeCheckpointIO
from pyg_srgnn.training.fit import description
from pyg_srgnn.training.job import ALONE, Job, Place
from pyg_srgnn.training.trained import open_trained
from pyg_srgnn.utils.arguments import Checks, checking
from pyg_srgnn.utils.progress import Bar

_SAMPLES = 20_000  # of validation, at most, that the weights are fitted to


class Mixed(NamedTuple):
    """Trained models that were mixed."""

    model: ModelMixture
    training: SessionDataset
    """The sessions that its members were trained on."""
    checkpoint: str
    """Path of the mixture within the run's directory."""
    valid: Metrics | None
    """None with ``refit=only``."""
    members: dict[str, Any]
    """Kind, weights and temperature of each member, by its run."""
    seconds: float
    """Seconds that the weights took."""


def mix(job: Job, place: Place) -> Mixed:
    """Mix the runs of ``model.members``.

    Without ``refit``, or with ``refit=true``, weights are fitted to the validation sessions.
    With ``refit=true``, the weights of those that have not seen the validation sessions are taken
    over to the models that these runs trained on all training sessions. With ``refit=only`` these
    models are mixed alike, and nothing is fitted.

    Args:
        job: The run.
        place: Where to score.

    Raises:
        ValueError: If a member cannot be mixed in, see
            :func:`pyg_srgnn.training.trained.open_trained`; or is named twice; or if
            ``protocol`` is not ``"honest"``.
    """
    with checking("mixture") as check:
        check_mixed(check, job.settings.protocol)
    chosen = None if job.settings.refit == "only" else _fitted(job, place)
    if chosen is not None and not job.settings.refit:
        return chosen
    training, found, model = _open_mixture(job, "trainval", place)
    if chosen is not None:
        model.weighted_as(chosen.model)
    return Mixed(
        model,
        training,
        _save(job, model, found, training, "refit"),
        None if chosen is None else chosen.valid,
        _describe(job, found, model),
        0.0 if chosen is None else chosen.seconds,
    )


def check_mixed(check: Checks, protocol: str) -> None:
    """Check the keys of a run that mixes others."""
    expected = "honest with model=mixture, whose weights are fitted on validation"
    check.that(protocol == "honest", "protocol", expected, protocol)


def _fitted(job: Job, place: Place) -> Mixed:
    """Mix the models that have not seen the validation sessions, with weights fitted to these."""
    started = time.perf_counter()
    training, found, model = _open_mixture(job, "train", place)
    valid = job.open("valid")
    step = -(-len(valid) // _SAMPLES)
    fit_weights(model, job.ranking_loader(valid[::step], place), place)
    seconds = time.perf_counter() - started
    metrics = evaluate(
        model,
        job.ranking_loader(valid, place),
        *(valid.num_items, job.settings.ties, place.device, "valid"),
    )
    checkpoint = _save(job, model, found, training, "best")
    return Mixed(model, training, checkpoint, metrics, _describe(job, found, model), seconds)


def _open_mixture(
    job: Job, split: str, place: Place
) -> tuple[SessionDataset, list[Checkpoint], ModelMixture]:
    """The sessions of a split, the members that were trained on them, and these mixed alike."""
    training = job.open(split)
    found = _open(job.group("model")["members"], training)
    return training, found, ModelMixture([each.model for each in found]).to(place.device)


def _open(runs: list[str], training: SessionDataset) -> list[Checkpoint]:
    """Open the members, each of which is another model."""
    found: dict[Path, Checkpoint] = {}
    for run in runs:
        member = open_trained(run, training, "model.members")
        path = member.path.resolve()
        if path in found:
            raise ValueError(
                f"model.members={run}: another member is the same model, {path}; expected a list "
                f"of runs, each one once"
            )
        found[path] = member
    return list(found.values())


@torch.inference_mode()
def fit_weights(model: ModelMixture, loader: SessionLoader, place: Place = ALONE) -> None:
    """Fit the weights and temperatures of a mixture to samples that no member was trained on.

    Args:
        model: The mixture, on the device; its members are not changed.
        loader: The samples.
        place: Where to score. (default: a CPU)
    """
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    with Bar("mixing", len(loader), "batches") as bar:
        for batch in loader:
            found.append(_of_targets(model, batch.to(place.device)))
            bar.advance()
    logs, gates, again = map(torch.cat, zip(*found, strict=True))
    new, own = logs[~again].double(), logs[again].double()
    chosen = best_temperatures(new, own)
    index = chosen.view(1, -1, 1)
    model.temperature.copy_(torch.tensor(TEMPERATURES, device=chosen.device)[chosen])
    for weight, part in (
        (model.new_weight, new.take_along_dim(index, 2).squeeze(2)),
        (model.own_weight, own.take_along_dim(index, 2).squeeze(2)),
        (model.gate_weight, gates.double()),
    ):
        weight.copy_(mixture_weights(part)[0])


def _of_targets(model: ModelMixture, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """What each member gives to the targets of a batch.

    Returns:
        Logarithms of a target's probability among the new items, or among the session's own if it
        is one, at each temperature [B, M, T]; of the probability that it is what it is [B, M]; and
        whether it is one of the session's own [B].
    """
    session, sessions = session_of_node(batch)
    hit = (batch.x == batch.y[session]).nonzero().squeeze(1)
    at = session[hit]
    again = torch.zeros(sessions, dtype=torch.bool, device=batch.x.device)
    again[at] = True
    logs, gates = [], []
    for member in model.models:
        log_p = member.log_distribution(batch)
        tried = []
        for temperature in TEMPERATURES:
            parts = split(log_p, session, batch.x, temperature)
            of_target = parts.new.gather(1, batch.y.unsqueeze(1)).squeeze(1)
            tried.append(of_target.index_copy(0, at, parts.own[hit]))
        logs.append(torch.stack(tried, dim=1))
        gates.append(torch.where(again, parts.gate, log_complement(parts.gate)))
    return torch.stack(logs, dim=1), torch.stack(gates, dim=1), again


def _save(
    job: Job,
    model: ModelMixture,
    members: list[Checkpoint],
    training: SessionDataset,
    name: str,
) -> str:
    """Write a checkpoint that holds the members; its path within the run's directory."""
    path = f"checkpoints/{name}.ckpt"
    settings = {"name": MIXTURE, "members": [each.settings for each in members]}
    described = description(job, settings, training)
    state = {f"model.{key}": tensor.cpu() for key, tensor in model.state_dict().items()}
    training.vocabulary.save(job.run_dir / "vocabulary.json")
    texts = [each.member_texts or each.text for each in members]
    SafeCheckpointIO().save_checkpoint(
        {"epoch": 0, "state_dict": state, **described, "member_texts": texts}, job.run_dir / path
    )
    return path


def _describe(job: Job, members: list[Checkpoint], model: ModelMixture) -> dict[str, Any]:
    """Kind, weights and temperature of each member, by its run."""
    runs: list[str] = job.group("model")["members"]
    weights = {name: getattr(model, name).tolist() for name in WEIGHTS}
    return {
        run: {"model": member.settings["name"], "checkpoint": member.path.name}
        | {name: round(values[number], 4) for name, values in weights.items()}
        for number, (run, member) in enumerate(zip(runs, members, strict=True))
    }
