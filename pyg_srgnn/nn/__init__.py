"""SR-GNN as plain torch.nn: a layer, a readout, a model, its losses."""

from pyg_srgnn.nn.losses import softmax_binary_cross_entropy, softmax_cross_entropy
from pyg_srgnn.nn.readout import SessionReadout
from pyg_srgnn.nn.srgnn import SRGNN
from pyg_srgnn.nn.srgnn_conv import SRGNNConv

__all__ = [
    "SRGNN",
    "SRGNNConv",
    "SessionReadout",
    "softmax_binary_cross_entropy",
    "softmax_cross_entropy",
]
