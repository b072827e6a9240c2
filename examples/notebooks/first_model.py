# %% [markdown]
# # Your first model
#
# The package has a shop of its own: sessions that are generated, of items with names. Nothing is
# downloaded. This notebook trains on a part of them, recommends, and looks at why.

# %%
import polars as pl

from pyg_srgnn import SRGNNRecommender
from pyg_srgnn.datasets import Synthetic

shop = Synthetic("datasets", split="trainval", num_sessions=3_000)
names = dict(zip(shop.vocabulary.ids, shop.texts, strict=True))
clicks = shop.sessions.to_polars(vocabulary=shop.vocabulary)  # one row per click
print(clicks.head())

# %% [markdown]
# `fit` prepares the clicks as `srgnn-train` does, chooses the number of epochs on the last tenth of
# the sessions, and trains once more on all of them. Here it may take two, with small vectors.

# %%
settings = {"model.channels": 32, "optimizer.lr": 0.01, "batch_size": 128}
model = SRGNNRecommender(epochs=2, settings=settings).fit(clicks)
print(f"HR@20 of the sessions that chose the epoch: {model.valid_['hr@20']:.1%}")

# %% [markdown]
# The most popular twenty items would hit less often.

# %%
last = clicks.group_by("session").agg(pl.col("item").last()).tail(500)["item"]
popular = clicks["item"].value_counts(sort=True)["item"].head(20)
print(f"HR@20 of the most popular items: {last.is_in(popular.implode()).mean():.1%}")
assert model.valid_["hr@20"] > last.is_in(popular.implode()).mean() + 0.1

# %% [markdown]
# What comes after the first session's clicks?

# %%
session = clicks.filter(pl.col("session") == 0)
print([names[item] for item in session["item"]])
best = model.recommend(session, k=5)
print(best.with_columns(name=pl.col("item").replace_strict(names)))

# %% [markdown]
# And why? What each click adds to the score of the first item, and which part of the model
# says so.

# %%
why = model.recommender_.explain(session["item"].to_list())
print(why)

# %% [markdown]
# `save` writes safetensors and JSON, which `load` opens and which a hub takes.

# %%
model.save("models/first")
assert SRGNNRecommender.load("models/first").recommend(session, k=5).equals(best)
