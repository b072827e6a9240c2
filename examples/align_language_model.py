"""A language model aligned with a trained run, after LLMGR; beside the run and popularity.

    python examples/align_language_model.py runs/RUN MODEL --layers 4

Needs the extra ``llm``. MODEL is a folder of transformers or a GGUF file; nothing is downloaded.
Validation chooses the epoch, the test set is read once. What was cut short goes on.
"""

import argparse
import logging
from pathlib import Path

import torch

from pyg_srgnn.baselines import Popularity
from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.data import SessionLoader
from pyg_srgnn.datasets import open_dataset
from pyg_srgnn.evaluation import evaluate
from pyg_srgnn.llm import AlignedModel, Alignment, LanguageModel, align
from pyg_srgnn.text.files import read_item_texts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run", type=Path, help="the directory of a run of srgnn-train")
    parser.add_argument("model", type=Path, help="the language model")
    parser.add_argument("--output", type=Path, help="the folder to write; default RUN/aligned")
    parser.add_argument("--texts", type=Path, help="file of item texts; default the dataset's own")
    parser.add_argument("--layers", type=int, help="first layers of the model; default all")
    parser.add_argument("--epochs", type=int, default=3, help="of stage 2; default 3")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    device = "cuda" if torch.cuda.is_available() else "cpu"

    checkpoint = Checkpoint.load(args.run)
    train, valid, test = (
        open_dataset(checkpoint.dataset, split) for split in ("train", "valid", "test")
    )
    texts = train.texts
    if args.texts is not None:
        found = read_item_texts(args.texts).like(checkpoint.vocabulary)
        of = dict(zip(found.ids, found.texts or [], strict=True))
        texts = [of.get(raw) for raw in checkpoint.vocabulary.ids]
    if texts is None:
        parser.error(f"{train} has no texts: name a file with --texts")

    def metrics(scorer: Popularity | AlignedModel, part=test) -> dict[str, float]:
        return evaluate(scorer, SessionLoader(part, 64), train.num_items, device=device)

    model = align(
        checkpoint,
        texts,
        train.sessions,
        LanguageModel.open(args.model, args.layers),
        args.output or args.run / "aligned",
        Alignment(epochs=args.epochs),
        valid=lambda model: metrics(model, valid)["mrr@20"],
        device=device,
    )
    print(f"\n{'test, percent':16} {'HR@5':>6} {'HR@20':>6} {'MRR@20':>6}")
    for name, scorer in (
        ("popularity", Popularity.fit(train.sessions, train.num_items)),
        (args.run.name, checkpoint.model),
        ("language model", model),
    ):
        found = metrics(scorer.to(device))
        row = (f"{100 * found[key]:6.2f}" for key in ("hr@5", "hr@20", "mrr@20"))
        print(f"{name:16}", *row)


if __name__ == "__main__":
    main()
