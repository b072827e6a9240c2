# %% [markdown]
# # Read a run: slices, comparison, explanation
#
# A run is a directory. This notebook makes two small ones, SR-GNN and GRU4Rec, and reads them: the
# metrics beside the baselines, where each is better, whether the difference is one, and a single
# recommendation.

# %%
import json
import subprocess
import sys
from pathlib import Path

import polars as pl

from pyg_srgnn import Recommender


def command(name: str, *arguments: str) -> str:
    """Call a console script; what it printed."""
    call = [sys.executable, "-m", f"pyg_srgnn.commands.{name}", *arguments]
    return subprocess.run(call, check=True, capture_output=True, text=True).stdout


keys = ["dataset.num_sessions=1000", "dataset.num_test_sessions=300", "model.channels=24"]
keys += ["trainer.max_epochs=2", "optimizer.lr=0.01", "batch_size=128", "text=null"]
for model in ("srgnn", "gru4rec"):
    command("train", f"model={model}", *keys, "baselines=[markov]", f"hydra.run.dir=runs/{model}")

# %% [markdown]
# `metrics.json` has everything that the table showed, as fractions.

# %%
results = {
    model: json.loads(Path(f"runs/{model}/metrics.json").read_text(encoding="utf-8"))
    for model in ("srgnn", "gru4rec")
}
for model, result in results.items():
    print(f"{model:8} HR@20 {result['test']['hr@20']:.2%}  MRR@20 {result['test']['mrr@20']:.2%}")
print(f"optimum  HR@20 {results['srgnn']['optimum']['test']['hr@20']:.2%}")

# %% [markdown]
# `slices.csv`: the same by length of the session, by repeats, by popularity of the target, by day.

# %%
slices = pl.read_csv("runs/srgnn/slices.csv")
print(slices)
assert len(slices) > 5

# %% [markdown]
# Is one better than the other? `srgnn-compare` takes both runs' ranks of the same test samples: the
# effect with its interval first, then the tests.

# %%
print(command("compare", "runs/srgnn", "runs/gru4rec", "--draws=200"))

# %% [markdown]
# One recommendation: what each click adds, and the parts of the probability.

# %%
why = Recommender.load("runs/srgnn").explain([17, 4, 17])
print(why)
