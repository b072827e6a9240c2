"""A language model aligned with a trained graph model, after LLMGR."""

from pyg_srgnn.llm.aligned_model import AlignedModel
from pyg_srgnn.llm.alignment import Alignment, align, text_states
from pyg_srgnn.text.language_model import LanguageModel

__all__ = ["AlignedModel", "Alignment", "LanguageModel", "align", "text_states"]
