"""The benchmarks run, and compare what is equal. Their figures are not tested."""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import torch
from hydra import compose, initialize_config_dir

from benchmarks import (
    __main__ as short,
)
from benchmarks import (
    catalogue,
    click_log,
    conv,
    encode_texts,
    evaluate,
    gpu,
    item_text,
    loader,
    measure,
    memory,
    pairs,
    prepare,
    profile,
    requests,
    rules,
    scale,
    searched,
    shop_log,
    spark,
    startup,
    train_step,
)
from benchmarks.dense import DenseSRGNN, dense_batch, twins
from benchmarks.limit import Peak, step_limit
from pyg_srgnn.commands.application import CONF
from pyg_srgnn.data import Sessions, session_graphs
from pyg_srgnn.datasets import Synthetic, open_dataset
from pyg_srgnn.inference.choice import WAYS
from pyg_srgnn.nn import SRGNN, losses
from pyg_srgnn.training.optimizer import adam
from tests.reference import authors


def test_train_step_prints_and_writes_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ["--steps=2", "--rounds=1", "--batch-size=8", "--fast-batch-size=16", "--channels=8"]
    where = [f"--root={tmp_path}", f"--json={tmp_path / 'figures.json'}"]
    train_step.main([*where, *size, "--sessions=50", "--peak-size=64"])
    result = json.loads((tmp_path / "figures.json").read_text())
    assert result["agreement"]["ours"] == pytest.approx(result["agreement"]["dense"], rel=1e-5)
    assert result["agreement"]["gradients"] <= 1e-5
    rates = result["samples_per_second"]
    assert list(rates) == ["dense", "float32", "fast"]
    for name in ("float32", "fast"):
        assert result["ratio"][name] == pytest.approx(rates[name] / rates["dense"])
        assert 0 < result["loader_share"][name] < 1
        assert result["limit"][name]["ms"] > 0
        assert result["limit"][name]["reached"] > 0
    printed = capsys.readouterr().out
    assert "Synthetic" in printed
    assert "reached" in printed


def test_what_is_emulated_is_not_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A processor with AVX2 alone: no product in bfloat16 is taken, and the figures say so."""
    known = {"cpu_name": "of a test", "avx2": True, "avx512_bf16": False}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    kinds: set[torch.dtype] = set()
    mm, apply = torch.mm, losses._apply

    def watched_mm(one: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        kinds.add(one.dtype)
        return mm(one, *args, **kwargs)

    def watched_loss(of: Any, sessions: Any, items: Any, target: Any, kind: Any, *more: Any) -> Any:
        kinds.add(kind or sessions.dtype)
        return apply(of, sessions, items, target, kind, *more)

    monkeypatch.setattr(torch, "mm", watched_mm)
    monkeypatch.setattr(losses, "_apply", watched_loss)
    size = ["--steps=1", "--rounds=1", "--batch-size=8", "--fast-batch-size=16", "--channels=8"]
    figures = tmp_path / "figures.json"
    size += ["--sessions=50", "--peak-size=64"]
    train_step.main([f"--root={tmp_path}", f"--json={figures}", *size])
    assert kinds == {torch.float32}
    result = json.loads(figures.read_text())
    assert result["limit"]["peak"]["bfloat16"] is None
    assert result["products"]["fast"] == "float32"
    assert result["machine"]["instructions"] == "avx2"
    printed = capsys.readouterr().out
    assert "not measured in bfloat16" in printed and "bfloat16 emulated" in printed


def test_catalogue_prints_and_writes_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = tmp_path / "figures.json"
    catalogue.main(["--items", "2000", "20000", "--channels=4", f"--json={figures}"])
    result = json.loads(figures.read_text())
    assert list(result["items"]) == ["2000", "20000"]
    for of in result["items"].values():
        assert of["fastest"] in of["milliseconds"] and of["chosen"] in WAYS
    printed = capsys.readouterr().out
    assert "float32_blocks" in printed and "16 at once" in printed and "used by torch" in printed


def test_searched_compares_a_mixtures_lists(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("faiss", reason="faiss is not installed: pip install '.[index]'")
    figures = tmp_path / "figures.json"
    options = ["--items=2000", "--channels=8", "--minutes=0.01", "--sessions=40"]
    searched.main([*options, f"--json={figures}"])
    ways = json.loads(figures.read_text())["ways"]
    assert ways["float32"]["recall"] == 1 and ways["int8"]["recall"] > 0.99
    assert ways["int8"]["wrong"] == 0 and "recall" in capsys.readouterr().out


def test_requests_compares_models_of_one_catalogue(
    exported: Callable[[str, str], Path], tiny_run: Path, tmp_path: Path
) -> None:
    models = [str(exported(name, "onnx")) for name in ("default", "mixture", "default")]
    figures = tmp_path / "figures.json"
    requests.main([*models, "--rounds=4", f"--json={figures}"])
    of = json.loads(figures.read_text())["models"]
    assert [each["path"] for each in of] == models
    for each in of:
        for size in ("1", "16"):
            assert 0 < each[size]["fastest tenth"] <= each[size]["median"]
    with pytest.raises(SystemExit):
        requests.main([models[0], str(tiny_run), "--rounds=4"])


def test_train_step_notices_other_gradients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = DenseSRGNN.gradients

    def wrong(model: DenseSRGNN) -> dict[str, torch.Tensor]:
        return {name: 1.001 * grad for name, grad in true(model).items()}

    monkeypatch.setattr(DenseSRGNN, "gradients", wrong)
    with pytest.raises(RuntimeError, match="gradients must be equal"):
        train_step.main([f"--root={tmp_path}", "--sessions=50", "--channels=8", "--steps=1"])


def test_encode_texts_prints_and_writes_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encode_texts.main(["--titles=300", f"--json={tmp_path / 'figures.json'}"])
    of = json.loads((tmp_path / "figures.json").read_text())["of"]
    assert list(of) == ["hashed", "wordllama"]
    assert all(figure > 0 for figures in of.values() for figure in figures.values())
    assert re.search(r"^wordllama +[\d,]+ +[\d.]+ +[\d.]+$", capsys.readouterr().out, re.MULTILINE)
    made = encode_texts.titles(300)
    assert len(set(made)) == 300 and all(4 <= len(title.split()) <= 12 for title in made)


def test_gpu_is_skipped_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert gpu.main([])["of"] == []
    assert "skipped: there is no GPU" in capsys.readouterr().out


@pytest.mark.slow
def test_gpu_tries_its_path_on_a_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = ["--steps=2", "--batch-sizes=16", "--channels=4", "--sessions=100"]
    result = gpu.main([f"--root={tmp_path}", "--device=cpu", "--models", "srgnn_plain", *size])
    (of,) = result["of"]
    assert of["launches"] < of["aten_calls"] and of["epoch_seconds"] > 0
    assert re.search(r"^srgnn_plain +16 ", capsys.readouterr().out, re.MULTILINE)


@pytest.fixture
def threads_as_before() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_item_text_prints_and_writes_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], threads_as_before: None
) -> None:
    pytest.importorskip(
        "onnxruntime", reason="onnxruntime is not installed: pip install '.[export]'"
    )
    size = ["--items=60", "--clicks=3", "--sessions=50", "--channels=8", "--texts=16"]
    where = f"--json={tmp_path / 'figures.json'}"
    item_text.main([*size, where, "--batch-size=8", "--steps=2", "--calls=5"])
    (of,) = json.loads((tmp_path / "figures.json").read_text())["of"]
    for what in ("step", "request"):
        took = of["milliseconds"][what]
        assert list(took) == list(item_text.SIDES)
        assert all(ms > 0 for ms in took.values())
        assert of["ratio"][what]["both, the default"] == pytest.approx(
            took["both, the default"] / took["without texts"]
        )
    assert "60 items, sessions of 3 clicks" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        item_text.main(["--items=60"])
    assert "--clicks 2" in capsys.readouterr().err


def test_evaluate_prints_and_writes_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    size = ["--rounds=1", "--samples=300", "--channels=8", "--sessions=50", "--train-steps=1"]
    evaluate.main([f"--root={tmp_path}", f"--json={tmp_path / 'figures.json'}", *size])
    result = json.loads((tmp_path / "figures.json").read_text())
    ours, dense = result["metrics"]["float32"], result["metrics"]["dense"]
    assert ours["hr@20"] == pytest.approx(dense["hr@20"], abs=1.5 / 300)
    assert ours["mrr@20"] == pytest.approx(dense["mrr@20"], abs=1e-3)
    assert dense["hr@20"] > 0  # there is something to compare
    rates = result["rows_per_second"]
    assert result["ratio"]["float32"] == pytest.approx(rates["float32"] / rates["dense"])
    assert "MRR@20" in capsys.readouterr().out


def test_evaluate_notices_other_hits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "dense_metrics", lambda *_: {"hr@20": 1.0, "mrr@20": 1.0})
    size = ["--rounds=1", "--samples=300", "--channels=8", "--sessions=50", "--train-steps=1"]
    with pytest.raises(RuntimeError, match="HR@20 must be equal"):
        evaluate.main([f"--root={tmp_path}", *size])


@pytest.mark.slow
def test_conv_compares_the_layer_with_pygs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = ["--sessions=300", "--rounds=2", "--batch-size=16", "--channels=8"]
    result = conv.main([f"--root={tmp_path}", *small])
    assert set(result["ms"]) == {"forward", "forward and backward"}
    assert all(ms > 0 for of in result["ms"].values() for ms in of.values())
    assert "| forward | " in capsys.readouterr().out


def test_loader_prints_and_writes_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    size = ["--rounds=1", "--batches=2", "--slow-batches=1", "--channels=8", "--sessions=50"]
    loader.main([f"--root={tmp_path}", f"--json={tmp_path / 'figures.json'}", *size])
    result = json.loads((tmp_path / "figures.json").read_text())
    assert list(result["of"]) == ["100", "512"]
    for of in result["of"].values():
        assert of["share"] == pytest.approx(of["loader_ms"] / of["step_ms"])
        rates = of["graphs_per_second"]
        assert of["ratio"] == pytest.approx(rates["pyg_srgnn"] / rates["pyg"])
    assert "PyG" in capsys.readouterr().out

    monkeypatch.setattr(loader, "same", lambda *_: False)
    with pytest.raises(RuntimeError, match="different batches"):
        loader.main([f"--root={tmp_path}", *size])


def test_profile_takes_a_step_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In parts that are all timed, and with the weights of an ordinary step after it."""
    json_file = tmp_path / "figures.json"
    size = ["--steps=1", "--channels=8", "--sessions=50"]
    profile.main([f"--root={tmp_path}", f"--json={json_file}", *size])
    for of in json.loads(json_file.read_text())["milliseconds"].values():
        assert len(of) == 7
        assert all(part > 0 for part in of.values())
    assert "backward of the graphs" in capsys.readouterr().out

    dataset = Synthetic(str(tmp_path), "train", num_sessions=50)
    (apart, _), (whole, _) = twins(dataset.num_items, 8), twins(dataset.num_items, 8)
    batches = torch.arange(20).view(2, 10)
    profile.profiled(apart, dataset, batches)
    optimizer = adam(whole, **measure.ADAM)
    step = train_step.training(whole, optimizer)
    for index in batches:
        step(dataset.batch(index))
    for a, b in zip(apart.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.usefixtures("pictures")
def test_scale_prints_writes_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scale, "in_child", lambda job, *args: job(*args))
    monkeypatch.setattr(scale, "_LIMIT_GB", 0.6 + 1.2e-4)  # full at 1000 does not fit
    size = ["--smallest=100", "--largest=1000", "--channels=8", "--batch-size=4", "--steps=2"]
    where = [f"--json={tmp_path / 'figures.json'}", f"--plot={tmp_path / 'growth.png'}"]
    scale.main([*size, *where, "--negatives=8"])
    result = json.loads((tmp_path / "figures.json").read_text())
    small, large = result["items"]["100"], result["items"]["1000"]
    assert set(small) == {"train_sampled", "train_full", "rank"}
    assert "train_full" not in large
    assert result["growth"] == pytest.approx(
        large["train_sampled"]["ms"] / small["train_sampled"]["ms"]
    )
    assert (tmp_path / "growth.png").stat().st_size > 5_000
    printed = capsys.readouterr().out
    assert "1,000 items, train_full: needs" in printed
    assert "top 20 of one session" in printed
    with pytest.raises(SystemExit):
        scale.main(["--smallest=1000", "--largest=100"])
    assert "--smallest 1000" in capsys.readouterr().err


def test_memory_measures_processes_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands: list[list[str]] = []

    def peak(command: list[str], log: Path) -> float:
        commands.append(command)
        return 100.0 + len(commands)

    monkeypatch.setattr(memory, "peak_mb_of", peak)
    monkeypatch.setattr(memory, "in_child", lambda job, *args: job(*args))
    monkeypatch.setattr("benchmarks.prepare.in_child", lambda job, *args: job(*args))
    keep = tmp_path / "kept"
    memory.main([f"--root={tmp_path}", "--sessions=50", "--rows=3000", f"--keep={keep}", "seed=3"])
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines() if "   " in line][
        1:
    ] == ["101", "102", "103"]
    imports, small, large = commands
    assert imports[1] == "-c"
    assert "dataset.num_sessions=50" in small and small[-1] == "seed=3"
    # What the run of the larger log opens is what has been prepared for it.
    keys = [key.removeprefix("+") for key in large if key.startswith(("dataset=", "dataset."))]
    with initialize_config_dir(str(CONF), version_base=None):
        config = compose("train", keys)
    assert list((keep / "3000" / "store").glob("*/processed/*"))
    before = sorted((keep / "3000" / "store").rglob("*"))
    assert len(open_dataset(config.dataset, "train")) > 0
    assert sorted((keep / "3000" / "store").rglob("*")) == before


def test_startup_counts_in_imports_of_torch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands: list[tuple[list[str], int]] = []

    def usage(command: list[str], log: Path, status: int = 0) -> SimpleNamespace:
        commands.append((command, status))
        return SimpleNamespace(ru_utime=0.0 + len(command), ru_stime=1.0)

    monkeypatch.setattr(startup, "usage_of", usage)
    result = startup.main(["--rounds=2"])
    assert result["ratio"]["srgnn-train --help"] == (4 + 1) / (3 + 1)
    (typo,) = {tuple(command[1:]) for command, status in commands if status}
    assert typo == ("-m", "pyg_srgnn.commands.train", "model.chanels=3")
    made = [key for command, _ in commands for key in command if key.startswith("hydra.run.dir=")]
    assert len(set(made)) == len(made) == 2 + 2 * 2, "no run is one that is finished already"
    assert "srgnn-compare " in capsys.readouterr().out


@pytest.mark.slow
def test_the_peak_of_a_process() -> None:
    # A process begins with the peak of its parent, which is why the benchmarks' own are small.
    held = measure.peak_mb() + 200
    command = [sys.executable, "-c", f"x = bytearray(b'x') * {int(held * 1e6)}"]
    assert 0 < measure.peak_mb_of(command, Path(os.devnull)) - held < 60


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such thing"):
        measure.peak_mb_of([sys.executable, "-c", "exit('no such thing')"], tmp_path / "log")


def test_the_short_version_runs_them_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = {}
    for benchmark in (train_step, evaluate, loader, profile, scale):
        name = benchmark.__name__
        monkeypatch.setattr(benchmark, "main", lambda given, n=name: asked.update({n: given}))
    short.main(["--mirror=here", "--root=there"])
    assert len(asked) == 5
    assert "--mirror=here" in asked["benchmarks.loader"]
    assert "[5/5] python -m benchmarks.scale" in capsys.readouterr().out


@pytest.mark.parametrize("argument", ["--rounds=0", "--batch-size=-1", "--steps=many"])
def test_a_bad_argument_is_named(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        train_step.main([argument])
    assert argument.split("=")[0] in capsys.readouterr().err


def test_the_limit_counts_products_and_bytes() -> None:
    flat = Sessions.from_lists([[0, 1, 0], [2]])  # 3 nodes, 4 clicks
    batch = session_graphs(flat.items, flat.lengths, torch.tensor([1, 2]))
    counted = step_limit(batch, 1000, 10, Peak(100.0, 200.0, 10.0), "float32")
    products = 6 * 2 * 1000 * 10 + 3 * (22 * 3 * 100 + 6 * 2 * 100 + 2 * 4 * 110)
    assert counted["gflop"] * 1e9 == pytest.approx(products)
    assert counted["gb"] * 1e9 == pytest.approx(28 * 1000 * 10 + 2 * 4 * 2 * 1000)
    half = step_limit(batch, 1000, 10, Peak(100.0, 200.0, 10.0), "bfloat16")
    assert half["products_ms"] == pytest.approx(counted["products_ms"] / 2)


def test_the_dense_opponent_computes_the_same() -> None:
    torch.manual_seed(0)
    prefixes, targets = [[1, 2, 3, 2, 4], [5], [6, 6], [2, 1, 2, 1, 2, 7]], [2, 7, 1, 3]
    flat = Sessions.from_lists([[item - 1 for item in prefix] for prefix in prefixes])
    batch = session_graphs(flat.items, flat.lengths, torch.tensor(targets) - 1)
    model = SRGNN(7, 6, reset_after=True, readout_bias=True).double()
    dense = DenseSRGNN(7, 6).double().copy_weights(model)
    items, adjacency, alias, mask, target = dense_batch(prefixes, targets)
    scores = dense(items, adjacency.double(), alias, mask)
    torch.testing.assert_close(scores, model.scores(batch), atol=1e-7, rtol=0)
    loss = dense.loss((items, adjacency.double(), alias, mask, target))
    torch.testing.assert_close(loss, model.loss(batch), atol=1e-7, rtol=0)


def test_the_generated_log_is_yoochooses_format(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(click_log, "_SESSIONS_AT_ONCE", 300)  # several chunks, the last one cut
    files = [tmp_path / name for name in ("one", "again", "other")]
    for file, seed in zip(files, (1, 1, 2), strict=True):
        click_log.write(file, rows=5_001, seed=seed)
    one, again, other = (file.read_bytes() for file in files)
    assert one == again
    assert one != other
    line = re.compile(rb"\d+,2014-0[4-9]-\d\dT\d\d:\d\d:\d\d\.\d{3}Z,2145\d{5},(S|\d+)")
    assert all(line.fullmatch(row) for row in one.splitlines())

    rows = list(csv.reader(one.decode().splitlines()))
    assert len(rows) == 5_001
    runs = [(int(s), [row[1] for row in run]) for s, run in groupby(rows, itemgetter(0))]
    assert all(a < b for (a, _), (b, _) in pairwise(runs))  # ascending, each in one place
    assert all(times == sorted(times) for _, times in runs)
    assert not all(a[0] <= b[0] for (_, a), (_, b) in pairwise(runs))  # sessions are not in order
    assert any(a[0] < b[0] < a[-1] for (_, a), (_, b) in pairwise(runs))  # and overlap
    assert len(rows) / len(runs) == pytest.approx(33_003_944 / 9_249_729, rel=0.1)
    assert rows[-1][1][:7] == "2014-09"


def test_the_log_as_parquet_and_as_sessions_has_the_same_clicks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(click_log, "_SESSIONS_AT_ONCE", 300)
    click_log.write(tmp_path / "clicks.dat", rows=5_001)
    click_log.write_parquet(tmp_path, rows=5_001)
    table = pl.read_parquet(tmp_path / "*.parquet")
    clicks = pl.read_csv(tmp_path / "clicks.dat", new_columns=table.columns, has_header=False)
    assert table["item_id"].to_list() == clicks["item_id"].to_list()
    assert table["timestamp"].dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").equals(clicks["timestamp"])
    sessions, num_items = click_log.as_sessions(5_001)
    grouped = clicks.group_by("session_id", maintain_order=True).agg("item_id")["item_id"]
    first = min(table["item_id"]) - int(sessions.items.min())
    assert [[first + item for item in one] for one in sessions.to_lists()] == grouped.to_list()
    assert int(sessions.items.max()) < num_items


def test_pairs_counts_the_same_followers_either_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pairs, "in_child", lambda job, *args: job(*args))
    results = []
    for more in ([], ["--all"]):
        pairs.main(["--rows=20000", f"--json={tmp_path / 'figures.json'}", *more])
        results.append(json.loads((tmp_path / "figures.json").read_text()))
    assert results[0]["checksum"] == results[1]["checksum"] > 0
    assert "20,000 clicks" in capsys.readouterr().out


def test_prepare_prints_and_writes_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Here and not in processes of their own, which load torch anew each time.
    monkeypatch.setattr(prepare, "in_child", lambda job, *args: job(*args))
    monkeypatch.setattr(prepare, "_GROWTH", 2)
    figures = tmp_path / "figures.json"
    prepare.main(
        ["--rows=20000", "--rounds=2", "--growth", f"--json={figures}", f"--keep={tmp_path}"]
    )
    result = json.loads(figures.read_text())
    assert result["same_result"] is True
    rates = result["rows_per_second"]
    assert result["ratio"] == pytest.approx(rates["pyg_srgnn"] / rates["plain"])
    for name in ("plain", "pyg_srgnn"):
        assert rates[name] == pytest.approx(20_000 / result["seconds"][name])
    for of in (result, result["growth"]):
        assert 10_000 < of["clicks"] < of["rows"]
        assert 4 < of["bytes_per_click"] < 100
        assert of["first_batch_seconds"] > 0
    assert result["growth"]["rows"] == 40_000
    grown = result["seconds"]["pyg_srgnn"] * 2 ** result["growth"]["exponent"]
    assert grown == pytest.approx(result["growth"]["seconds"])
    assert (tmp_path / "20000" / "yoochoose1_64" / "train.txt").stat().st_size > 1_000
    assert "the same sessions, click by click" in capsys.readouterr().out

    clicks = result["clicks"]
    for more, as_many in ([], True), (["--parquet"], True), (["--all-rules"], False):
        prepare.main(["--rows=20000", "--skip-reference", f"--json={figures}", *more])
        result = json.loads(figures.read_text())
        assert list(result["rows_per_second"]) == ["pyg_srgnn"]
        assert (result["clicks"] == clicks) == as_many
        assert not {"ratio", "same_result", "growth"} & set(result)


def test_prepare_notices_other_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "in_child", lambda job, *args: job(*args))
    read = authors.read_yoochoose

    def one_click_lost(rows: Iterable[dict[str, str]]) -> authors.Clicks:
        clicks, dates = read(rows)
        max(clicks.values(), key=len).pop()
        return clicks, dates

    monkeypatch.setattr(authors, "read_yoochoose", one_click_lost)
    with pytest.raises(RuntimeError, match="different sessions"):
        prepare.main(["--rows=20000", f"--keep={tmp_path}"])


def test_a_job_of_prepare_has_a_process_of_its_own() -> None:
    assert prepare.in_child(os.getpid) != os.getpid()


@pytest.mark.slow
@pytest.mark.parametrize("http", [[], ["--http"]])
def test_rules_prints_and_writes_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], http: list[str]
) -> None:
    file = tmp_path / "rules.json"
    small = ["--items=2000", "--channels=8", "--rounds=2", "--models", "srgnn_plain", *http]
    result = rules.main([*small, f"--json={file}"])
    assert json.loads(file.read_text())["milliseconds"] == result["milliseconds"]
    assert set(result["milliseconds"]["srgnn_plain"]) == set(rules.SIDES)
    assert all(0 < ms < 1e5 for ms in result["milliseconds"]["srgnn_plain"].values())
    printed = capsys.readouterr().out
    assert "no rules" in printed and ("over HTTP" in printed) is bool(http)


def test_what_a_log_of_sparks_events_says() -> None:
    """Two exchanges of two plans, of which the first is logged twice, and a task that failed."""

    def exchange(text: str, number: int) -> dict[str, Any]:
        metrics = [
            {"name": "records read", "accumulatorId": number + 1},
            {"name": "shuffle bytes written", "accumulatorId": number},
        ]
        return {"nodeName": "Exchange", "simpleString": text, "metrics": metrics, "children": []}

    def plan(*children: dict[str, Any]) -> dict[str, Any]:
        top = {"nodeName": "Project", "simpleString": "", "metrics": [], "children": [*children]}
        return {"Event": "SQLExecutionStart", "sparkPlanInfo": top}

    def task(written: int, read: int) -> dict[str, Any]:
        metrics = {
            "Executor CPU Time": 5 * 10**8,
            "Shuffle Write Metrics": {"Shuffle Bytes Written": written},
            "Shuffle Read Metrics": {"Local Bytes Read": read, "Remote Bytes Read": 10**6},
        }
        return {"Event": "SparkListenerTaskEnd", "Task Metrics": metrics}

    def stage(number: int, value: int) -> dict[str, Any]:
        known = [
            {"ID": number + 1, "Name": "records read", "Value": 9},
            {"ID": number, "Name": "shuffle bytes written", "Value": str(value)},
        ]
        return {"Event": "SparkListenerStageCompleted", "Stage Info": {"Accumulables": known}}

    by_session = exchange("Exchange hashpartitioning(session#12L, part#3, 200), ENSURE", 40)
    found = spark.read_events(
        [
            plan(by_session),
            plan(by_session, exchange("Exchange SinglePartition, ENSURE_REQUIREMENTS", 50)),
            task(3_000_000, 0),
            stage(40, 3_000_000),
            task(1_000_000, 2_000_000),
            {"Event": "SparkListenerTaskEnd"},
            stage(50, 1_000_000),
        ]
    )
    assert found == {
        "cpu_seconds": 1.0,
        "shuffled_mb": 4.0,
        "largest_mb": 3.0,
        "exchanges": {"hashpartitioning(session, part)": 3.0, "SinglePartition": 1.0},
    }


def test_spark_prints_and_writes_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """tests/clicklog/test_engine.py reads a log that Spark wrote."""

    def prepared(log: Path, master: str) -> dict[str, Any]:
        rows = sum(1 for _ in log.open())
        each = {"hashpartitioning(session)": 9e-6 * rows, "hashpartitioning(_file)": 1e-9 * rows}
        figures = {"seconds": 2.0, "seconds_here": 0.5, "cpu_seconds": rows**0.5, "peak_mb": 300}
        figures |= {"rows": rows, "shuffled_mb": sum(each.values()), "largest_mb": 1e-6 * rows}
        return {**figures, "exchanges": each}

    monkeypatch.setattr(prepare, "in_child", lambda job, *args: job(*args))
    monkeypatch.setattr(spark, "in_child", lambda job, *args: prepared(*args))
    figures = tmp_path / "figures.json"
    spark.main(["--rows", "200", "800", f"--json={figures}"])
    result = json.loads(figures.read_text())
    assert [of["rows"] for of in result["of"]] == [200, 800]
    assert all(0.005 < of["file_mb"] < 0.05 for of in result["of"])
    powers = {"seconds": 0, "cpu_seconds": 0.5, "shuffled_mb": 1, "largest_mb": 1}
    assert result["exponent"] == pytest.approx(powers)
    printed = capsys.readouterr().out
    assert re.search(r"^hashpartitioning\(session\) +[\d.]+ +[\d.]+$", printed, re.MULTILINE)
    assert "_file" not in printed


def test_a_shop_s_log_follows_its_law(tmp_path: Path) -> None:
    shop_log.main([str(tmp_path), "--sessions", "400"])
    log = pl.read_csv(tmp_path / "log.csv").with_columns(shelf=pl.col("item") // shop_log.SHELF)
    after = log.select(
        "session",
        "action",
        late=pl.col("time").diff().over("session") > shop_log.LONG,
        on=(pl.col("shelf").shift(-1).over("session") - pl.col("shelf")) % 10,
    ).drop_nulls("on")
    late = after["late"].fill_null(False)
    for rows, shelves in (
        (after.filter(late), 5),
        (after.filter(~late, pl.col("action") == "view"), 0),
        (after.filter(~late, pl.col("action") != "view"), 1),
    ):
        assert 0.7 < (rows["on"] == shelves).mean() < 0.9
    items = pl.read_csv(tmp_path / "items.csv")
    assert items["item"].n_unique() == shop_log.ITEMS == 10 * items["shelf"].n_unique()
