"""Models of sessions and their layers and losses, as plain ``torch.nn``."""

from collections.abc import Mapping
from typing import Any

from pyg_srgnn.nn.contrast import contrast
from pyg_srgnn.nn.distillation import Distillation
from pyg_srgnn.nn.gru4rec import GRU4Rec
from pyg_srgnn.nn.losses import softmax_binary_cross_entropy, softmax_cross_entropy
from pyg_srgnn.nn.model_mixture import MIXTURE, ModelMixture
from pyg_srgnn.nn.multi_level_readout import MultiLevelReadout
from pyg_srgnn.nn.r_drop import r_drop
from pyg_srgnn.nn.readout import Readout, SessionReadout
from pyg_srgnn.nn.repeat_counts_head import RepeatCountsHead
from pyg_srgnn.nn.repeat_head import RepeatHead
from pyg_srgnn.nn.sampled import NegativeSampler, sampled_softmax_cross_entropy
from pyg_srgnn.nn.session_model import SessionModel
from pyg_srgnn.nn.srgnn import SRGNN
from pyg_srgnn.nn.srgnn_conv import SRGNNConv
from pyg_srgnn.utils.packages import Registry

__all__ = [
    "MODELS",
    "SRGNN",
    "Distillation",
    "GRU4Rec",
    "ModelMixture",
    "MultiLevelReadout",
    "NegativeSampler",
    "Readout",
    "RepeatCountsHead",
    "RepeatHead",
    "SRGNNConv",
    "SessionModel",
    "SessionReadout",
    "build_model",
    "contrast",
    "r_drop",
    "rebuild_model",
    "sampled_softmax_cross_entropy",
    "softmax_binary_cross_entropy",
    "softmax_cross_entropy",
]

MODELS: Registry[type[SessionModel]] = Registry(
    "model", "pyg_srgnn.models", {"srgnn": SRGNN, "gru4rec": GRU4Rec}
)


def build_model(settings: Mapping[str, Any]) -> SessionModel:
    """Make a model from its name and arguments, as configurations and checkpoints hold them.

    Args:
        settings: ``name``, one of :data:`MODELS` or of an installed package that adds it, and that
            class's arguments.

    Raises:
        ValueError: If the name is unknown or an argument out of its range.
    """
    name = settings["name"]
    if name not in MODELS:
        raise ValueError(f"model.name must be one of {', '.join(MODELS.names())} (got {name!r})")
    return _make(settings)


def rebuild_model(settings: Mapping[str, Any]) -> SessionModel | ModelMixture:
    """Make the model of a checkpoint: a trained one, or a mixture of such.

    Args:
        settings: See :func:`build_model`; of a mixture, ``name`` and ``members``, the
            settings of each.

    Raises:
        PackageError: If it is of a package that is not installed, or cannot be loaded.
        ValueError: If an argument is out of its range.
    """
    if settings["name"] != MIXTURE:
        return _make(settings)
    return ModelMixture([rebuild_model(each) for each in settings["members"]])


def _make(settings: Mapping[str, Any]) -> SessionModel:
    arguments = dict(settings)
    return MODELS[arguments.pop("name")](**arguments)
