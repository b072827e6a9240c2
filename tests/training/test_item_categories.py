"""A run with categories of items: from the file to checkpoint, card, export, slices, comparison."""

from __future__ import annotations

import csv
import json
import random
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from pyg_srgnn.checkpoint import Checkpoint
from pyg_srgnn.commands import compare, evaluate, train
from pyg_srgnn.commands.validate import validate_run
from pyg_srgnn.evaluation.rank_table import read_ranks
from pyg_srgnn.export.write import export
from pyg_srgnn.inference.artifact import Artifact
from pyg_srgnn.training.job import Job
from pyg_srgnn.training.resume import claim
from tests.commands import run
from tests.tiny import tiny_config

ITEMS = 30
SMALL = ["model.channels=8", "trainer.max_epochs=1", "trainer.accelerator=cpu", "batch_size=50"]


def category(item: int) -> str:
    return "" if item % 10 == 9 else f"category {item % 3}"


def write_items(folder: Path, extra: str = "") -> Path:
    rows = "".join(f"i{item:02},{category(item)},{item % 2}\n" for item in range(ITEMS))
    path = folder / "items.csv"
    path.write_text(f"item,category,sale\n{rows}new,category 9,1\n{extra}")
    return path


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A click log of thirty items, of which the last two come after the training."""
    folder = tmp_path_factory.mktemp("shop")
    draw = random.Random(3)
    with (folder / "clicks.csv").open("w") as log:
        log.write("session,item,time\n")
        for session in range(200):
            known = ITEMS if session > 180 else ITEMS - 2
            for click in range(draw.randint(2, 5)):
                time = 1_700_000_000 + 1000 * session + click
                log.write(f"{session},i{draw.randrange(known):02},{time}\n")
    write_items(folder)
    return folder


def keys(folder: Path, *more: str) -> list[str]:
    log = [f"dataset.path={folder / 'clicks.csv'}", f"dataset.root={folder}"]
    log += ["dataset=click_log", "dataset.min_support=1", "dataset.cold=keep"]
    file = [f"attributes={folder / 'items.csv'}", "categories=[category,sale]"]
    return [*log, "baselines=[markov]", *SMALL, *file, *more]


@pytest.fixture(scope="module")
def trained(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    result = run(train.main, "srgnn-train", *keys(shop), f"hydra.run.dir={folder}")
    assert result.status == 0, result.err
    assert "by the target's category" in result.out and "category category 0" in result.out
    return folder


@pytest.mark.slow
def test_checkpoint_and_card_describe_the_file(trained: Path, tmp_path: Path) -> None:
    log = (trained / "train.log").read_text()
    assert "values of category (3), sale (2); ids that are not in the catalogue: 1" in log
    checkpoint = Checkpoint.load(trained)
    facts, data = checkpoint.categories, checkpoint.data
    assert facts is not None and data is not None
    assert facts["columns"] == ["category", "sale"]
    assert facts["values"] == [[f"category {n}" for n in range(3)], ["0", "1"]]
    assert data["categories"] == {"columns": facts["columns"], "content": facts["content"]}
    assert json.loads((trained / "data.json").read_text()) == data
    assert checkpoint.settings["category_sizes"] == [3, 2]
    model = checkpoint.model
    assert model.num_trained == ITEMS - 2 and model.num_items == ITEMS
    table = model.embedding.categories
    assert table is not None
    for index, raw in enumerate(checkpoint.vocabulary.ids):
        name, sale = category(int(str(raw)[1:])), int(str(raw)[1:]) % 2
        known = facts["values"][0].index(name) + 1 if name else 0
        assert table.codes[index].tolist() == [known, 3 + 1 + sale]
    assert bool((table.weight != 0).all())

    export(checkpoint, tmp_path / "export")
    card = (tmp_path / "export" / "model_card.md").read_text()
    told = f"Categories of {ITEMS} of {ITEMS} items, from `items.csv`, values of `category` (3)"
    assert told in card and str(trained) not in card


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "torch_export"])
def test_an_export_scores_as_the_run(trained: Path, tmp_path: Path, kind: str) -> None:
    checkpoint = Checkpoint.load(trained)
    artifact = Artifact.load(export(checkpoint, tmp_path / "export", kind))
    draw = random.Random(0)
    sessions = [[draw.randrange(ITEMS) for _ in range(n % 6 + 1)] for n in range(60)]
    sessions += [[ITEMS - 1], [ITEMS - 2, ITEMS - 1]]  # cold ones, known by their categories
    wanted = checkpoint.scorer.scores(sessions)
    torch.testing.assert_close(artifact.scorer.scores(sessions), wanted, atol=1e-5, rtol=0)


@pytest.mark.slow
def test_slices_are_those_of_a_loop(trained: Path) -> None:
    ranks = read_ranks(trained / "ranks.parquet")
    found = json.loads((trained / "metrics.json").read_text())["categories"]
    assert found.keys() == {"srgnn", "markov"}
    for scorer, column in (("srgnn", "rank"), ("markov", "rank_markov")):
        rows: dict[str, list[int]] = {}
        for row in ranks.to_dicts():
            rows.setdefault(row["item.category"] or "(none)", []).append(row[column])
        assert found[scorer]["category"].keys() == rows.keys()
        for value, of in rows.items():
            metrics = found[scorer]["category"][value]
            assert metrics["samples"] == len(of)
            hits = [rank for rank in of if rank <= 20]
            assert metrics["hr@20"] == pytest.approx(len(hits) / len(of))
            assert metrics["mrr@20"] == pytest.approx(sum(1 / r for r in hits) / len(of))
    with (trained / "slices.csv").open(newline="", encoding="utf-8") as file:
        kinds = Counter(row["slice"] for row in csv.DictReader(file) if row["scorer"] == "markov")
    assert kinds["item.category"] == 4 and kinds["item.sale"] == 2


@pytest.mark.slow
def test_it_is_evaluated_with_and_without_the_file(
    shop: Path, trained: Path, tmp_path: Path
) -> None:
    command = [f"checkpoint={trained}", "baselines=[]"]
    result = run(evaluate.main, "srgnn-evaluate", *command, f"hydra.run.dir={tmp_path / 'a'}")
    assert result.status == 0, result.err
    assert "categories" not in json.loads((tmp_path / "a" / "evaluation.json").read_text())
    command += [f"attributes={shop / 'items.csv'}", "categories=[category]"]
    result = run(evaluate.main, "srgnn-evaluate", *command, f"hydra.run.dir={tmp_path / 'b'}")
    assert result.status == 0, result.err
    assert "category category 0" in result.out
    there = json.loads((trained / "metrics.json").read_text())["categories"]["srgnn"]["category"]
    here = json.loads((tmp_path / "b" / "evaluation.json").read_text())["categories"]
    assert here == {"model": {"category": there}}


@pytest.mark.slow
def test_runs_are_compared_on_a_category(
    trained: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    command = [str(trained), "--baseline", "markov", "--draws", "50"]
    assert compare.main(command) == 0
    assert "by the target's category" in capsys.readouterr().out
    assert compare.main([*command, "--targets", "category=category 1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    wanted = json.loads((trained / "metrics.json").read_text())["categories"]
    for side, scorer in zip(found["runs"], ("srgnn", "markov"), strict=True):
        of = wanted[scorer]["category"]["category 1"]
        assert found["rows"] == of["samples"]
        assert side["hr@20"] == pytest.approx(100 * of["hr@20"])
        assert side["categories"]["category"]["category 1"]["mrr@20"] == pytest.approx(
            100 * of["mrr@20"]
        )
    for targets, told in (
        ("brand=x", "there is no column of categories 'brand'; there are category, sale"),
        ("sale=2", "the test set has no target with sale=2"),
    ):
        assert compare.main([*command, "--targets", targets]) == 1
        assert f"targets={targets}: {told}" in capsys.readouterr().err


@pytest.mark.slow
def test_weights_go_to_the_same_values(shop: Path, trained: Path, tmp_path: Path) -> None:
    """Where a category is new, the others have other numbers."""
    shutil.copy(shop / "clicks.csv", tmp_path)
    write_items(tmp_path)
    file = tmp_path / "items.csv"
    file.write_text(file.read_text().replace("i00,category 0", "i00,a new one"))
    start = [f"warm_start={trained}", "optimizer.lr=1e-12", "test=false"]
    new = tmp_path / "run"
    result = run(train.main, "srgnn-train", *keys(tmp_path, *start), f"hydra.run.dir={new}")
    assert result.status == 0, result.err
    old, found = Checkpoint.load(trained), Checkpoint.load(new)
    assert found.categories is not None
    assert found.categories["values"][0][0] == "a new one"
    weights = [one.model.state_dict()["embedding.categories.weight"] for one in (old, found)]
    torch.testing.assert_close(weights[1][1:], weights[0], atol=1e-6, rtol=0)
    other = [f"warm_start={trained}", "categories=[category]", f"hydra.run.dir={tmp_path / 'o'}"]
    result = run(train.main, "srgnn-train", *keys(tmp_path), *other)
    assert result.status == 1
    told = "it knows items by categories=['category', 'sale'], this run by categories=['category']"
    assert told in " ".join(result.out.split())


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("categories=[brand]", r"categories=\['brand'\]: expected empty with attributes=null"),
        ("attributes_id=sku", "attributes_id='sku': expected null with attributes=null"),
        ("attributes=x.csv", r"categories=\[\]: expected columns of the file, with attributes"),
        ("attributes=x.csv categories=[a,a]", "expected a list of columns, each one once"),
        ("attributes=x.csv categories=brand", "categories='brand': expected a list of columns"),
        ("attributes=3 categories=[a]", "attributes=3: expected a text, or null"),
    ],
)
def test_keys_are_checked_before_anything_is_loaded(
    tmp_path: Path, override: str, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        validate_run(tiny_config(tmp_path, *override.split()))


def job(folder: Path, **more: Any) -> Job:
    config = tiny_config(folder)
    for key, value in more.items():
        config[key] = value
    return Job(config, folder / "run")


@pytest.mark.parametrize(
    ("file", "column", "told"),
    [
        ("none.csv", "category", r"attributes=\S*none\.csv: \S*none\.csv: there is no such file"),
        ("items.csv", "brand", "there is no column 'brand'; the columns are 'category', 'sale'"),
    ],
)
def test_the_file_is_read_before_the_log(tmp_path: Path, file: str, column: str, told: str) -> None:
    write_items(tmp_path)
    with pytest.raises(ValueError, match=told):
        job(tmp_path, attributes=str(tmp_path / file), categories=[column]).open("train")
    alone = {"metrics": ["diversity"], "diversity_by": column}
    with pytest.raises(ValueError, match=told):
        job(tmp_path, attributes=str(tmp_path / file), **alone).open("train")
    assert not (tmp_path / "synthetic").exists()


def test_other_values_are_other_data(tmp_path: Path) -> None:
    file = tmp_path / "items.csv"
    dataset = job(tmp_path).open("train")
    ids = dataset.vocabulary.ids
    (tmp_path / "run" / "data.json").unlink()

    def opened(rows: str, **more: Any) -> None:
        file.write_text("id,category,price\n" + rows)
        keys = {"attributes": str(file), "categories": ["category"]} | more
        job(tmp_path, **keys).open("train")

    opened(f"{ids[0]},shoes,1\n{ids[1]},hats,2\n")
    opened(f"{ids[1]},hats,3\n{ids[0]},shoes,1\n")  # another price
    started = r"run: the data has changed since\s+categories"
    with pytest.raises(ValueError, match=rf"{started}: other values of items"):
        opened(f"{ids[0]},shoes,1\n{ids[1]},shoes,2\n")
    with pytest.raises(ValueError, match=rf"{started}, columns: there \['category'\], here .*pri"):
        opened(f"{ids[0]},shoes,1\n{ids[1]},hats,2\n", categories=["category", "price"])
    with pytest.raises(ValueError, match="none of its ids is in the catalogue"):
        opened("unknown,shoes,1\n")


def test_keys_without_effect_may_differ_when_a_run_is_resumed(tmp_path: Path) -> None:
    """As of a run of an earlier version, which has no such keys."""
    claim(tmp_path, tiny_config(tmp_path))
    written = tmp_path / "config.yaml"
    kept = re.sub(
        r"^(attributes|attributes_id|categories):.*\n", "", written.read_text(), flags=re.M
    )
    written.write_text(kept)
    claim(tmp_path, tiny_config(tmp_path))


def test_many_values_are_twenty_slices_and_the_rest() -> None:
    from pyg_srgnn.evaluation.samples import Samples
    from pyg_srgnn.evaluation.slices import slices
    from tests.reports.tables import random_table

    table = random_table()
    # Of 47 targets, three without a value, 24 values once or twice, the later names more often.
    values = [None] * 3 + [f"v{n:02}" for n in range(24)] + [f"v{n:02}" for n in range(4, 24)]
    table = table.with_columns(pl.Series("item.brand", values))
    found = [part for part in slices(Samples.average([table])) if part.kind == "item.brand"]
    names = [f"v{n:02}" for n in range(4, 24)]
    assert [part.name for part in found] == [*names, "(the rest)", "(none)"]
    assert [part.samples for part in found] == [2] * 20 + [4, 3]
