# %% [markdown]
# # Your own clicks
#
# Real logs are dirty. This one has rows without an item, times that nobody can read, rows that were
# sent twice, and a robot. We look at it, decide, and train.

# %%
from pathlib import Path

import numpy as np
import polars as pl

from pyg_srgnn import SRGNNRecommender
from pyg_srgnn.clicklog.prepare import prepare
from pyg_srgnn.clicklog.spec import Preparation

draw = np.random.default_rng(0)
rows = []
for visit in range(600):
    item, at = int(draw.integers(40)), 1_700_000_000 + 900 * visit
    for place in range(int(draw.integers(1, 7))):
        rows.append([f"v{visit}", f"sku-{(item + place) % 40}", str(at + 20 * place)])
rows += [["robot", f"sku-{n % 40}", str(1_700_100_000 + n)] for n in range(500)]
rows += rows[:50]  # sent twice
for number in draw.choice(len(rows), 20, replace=False):
    rows[number] = [rows[number][0], "", rows[number][2]]
rows[7][2] = "yesterday"
lines = ["Visit ID;Product;clicked at", *(";".join(row) for row in rows)]
Path("clicks.csv").write_text("\n".join(lines), encoding="utf-8")

# %% [markdown]
# Nothing is dropped in silence: the first attempt names the bad rows. The delimiter is guessed, and
# so is every column that has a common name; `clicked at` has none.

# %%
try:
    prepare("clicks.csv", Preparation(session="Visit ID", time="clicked at"))
except ValueError as error:
    print(error)
    assert "on_bad_rows=skip" in str(error)

# %% [markdown]
# We leave these rows out, count rows that were sent twice once, and drop sessions of more than a
# hundred clicks, which is no person. The report says what each rule left.

# %%
rules = {"on_bad_rows": "skip", "dedupe": True, "drop_longer": 100}
prepared = prepare("clicks.csv", Preparation(session="Visit ID", time="clicked at", **rules))
print(pl.DataFrame(prepared.report["steps"]))
print(prepared.report["bad_rows"])
assert max(prepared.training.lengths.tolist()) <= 100

# %% [markdown]
# The same rules are settings of the estimator.

# %%
frame = pl.read_csv("clicks.csv", separator=";")
settings = {f"dataset.{rule}": value for rule, value in rules.items()}
settings |= {"model.channels": 16, "optimizer.lr": 0.02, "batch_size": 64}
model = SRGNNRecommender(session="Visit ID", time="clicked at", epochs=3, settings=settings)
model.fit(frame)
today = pl.DataFrame({"Visit ID": ["now", "now"], "Product": ["sku-3", "sku-4"]})
best = model.recommend(today, k=3)
print(best)
assert best["Product"][0] == "sku-5"

# %% [markdown]
# On the command line:
#
#     srgnn-prepare dataset=click_log dataset.path=clicks.csv dataset.session="Visit ID" …
#     srgnn-train dataset=click_log dataset.path=clicks.csv dataset.session="Visit ID" …
