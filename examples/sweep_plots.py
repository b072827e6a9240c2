"""The three plots that one looks at first after a sweep, from its files alone.

    srgnn-train -m model.num_steps=1,2 seed=0,1,2
    python examples/sweep_plots.py runs/sweeps/SWEEP

Needs the extra ``plots``. The picture goes into the sweep's directory.
"""

import argparse
from pathlib import Path

import polars as pl
from matplotlib import colormaps
from matplotlib.figure import Figure

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
parser.add_argument("sweep", type=Path, help="its directory, with leaderboard.csv")
args = parser.parse_args()

# One row per job; the columns between rank and seed are the keys in which the commands differ.
jobs = pl.read_csv(args.sweep / "leaderboard.csv", try_parse_dates=False)
metric = next(name for name in jobs.columns if name.startswith("valid/"))
keys = jobs.columns[1 : jobs.columns.index("seed")]
label = pl.concat_str(pl.col(keys).cast(pl.String).fill_null("default"), separator=" / ")
jobs = jobs.with_columns(
    label.alias("configuration") if keys else pl.lit("").alias("configuration")
)
order = jobs.sort("rank")["configuration"].unique(maintain_order=True).to_list()
shades = colormaps["tab10" if len(order) <= 10 else "turbo"].resampled(max(10, len(order)))
colours = {name: shades(place) for place, name in enumerate(order)}

figure = Figure(figsize=(13, 0.5 + max(3, 0.45 * len(order))), layout="constrained")
spread, curves, held = figure.subplots(1, 3)

# How far apart are the configurations, beside what a seed does?
for place, name in enumerate(order):
    values = jobs.filter(pl.col("configuration") == name)[metric].drop_nulls()
    spread.plot(values, [place] * len(values), "o", color=colours[name], alpha=0.6)
    if len(values):
        spread.plot([values.mean()], [place], "|", color="black", markersize=16)
spread.set_yticks(range(len(order)), order)
spread.invert_yaxis()
spread.set(xlabel=f"{metric}, %", title=" / ".join(keys) or "all jobs")

# Had they trained long enough?
lines = {}
for job in jobs.iter_rows(named=True):
    file = args.sweep / job["run"] / "epochs.csv"
    if file.is_file():
        epochs = pl.read_csv(file)
        if metric in epochs.columns:
            name = job["configuration"]
            values = 100 * epochs[metric]
            # With markers, as a job of one epoch has no line.
            (lines[name],) = curves.plot(
                epochs["epoch"], values, ".-", color=colours[name], alpha=0.6
            )
if keys:
    names = [name for name in order if name in lines]
    handles = [lines[name] for name in names]
    curves.legend(handles, names, title=" / ".join(keys), fontsize=8, title_fontsize=8)
curves.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
curves.set(xlabel="epoch", ylabel=f"{metric}, %", title="learning curves")

# Does what was chosen on validation hold on the test set?
tested = jobs.filter(pl.col("test/hr@20").is_not_null())
for name in order:
    rows = tested.filter(pl.col("configuration") == name)
    held.plot(rows[metric], rows["test/hr@20"], "o", color=colours[name], alpha=0.6)
held.set(xlabel=f"{metric}, %", ylabel="test/hr@20, %", title="validation and test")

for axes in (spread, curves, held):
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
path = args.sweep / "sweep.png"
figure.savefig(path, dpi=110)
print(path)
