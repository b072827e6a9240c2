"""Recommenders in MLflow: logged, loaded, and called with data frames."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from pyg_srgnn import Recommender
from pyg_srgnn import mlflow as flavour

pytestmark = pytest.mark.slow
needs_mlflow = pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None, reason="mlflow is not installed"
)


@needs_mlflow
@pytest.mark.parametrize("model", ["run", "export"])
def test_a_model_is_logged_loaded_and_scores_a_frame(
    tiny_run: Path, exported: Callable[[str, str], Path], model: str, tmp_path: Path
) -> None:
    import mlflow
    import pandas as pd

    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'store.db'}")
    mlflow.set_experiment(experiment_id=mlflow.create_experiment("e", str(tmp_path / "files")))
    path = tiny_run if model == "run" else exported("default", "torch_export")
    recommender = Recommender.load(path)
    known = recommender.vocabulary.ids[3]
    with mlflow.start_run():
        info = flavour.log_model(recommender, "shop", registered_model_name="shop")
    function = mlflow.pyfunc.load_model(info.model_uri)
    strange = 10**9 if isinstance(known, int) else "strange"
    frame = pd.DataFrame({"items": [[known, strange], [strange]]}, index=[7, 8])
    found = function.predict(frame, params={"k": 5})
    assert list(found.index) == [7, 8] and found["unknown"].tolist() == [1, 1]
    assert found["popular"].tolist() == [False, True]
    wanted = recommender.answer([[known, strange]], 5)[0].items
    assert list(zip(found["items"][7], found["scores"][7], strict=True)) == wanted
    assert len(function.predict(frame)["items"][7]) == 20
    seen = function.predict(frame, params={"k": 100, "exclude_seen": True})
    assert known not in seen["items"][7]
    again = flavour.load_model("models:/shop/1")
    assert again.recommend([[known]]) == recommender.recommend([[known]])
    pickles = {".pkl", ".pickle", ".ckpt", ".bin"}
    assert not [file for file in (tmp_path / "files").rglob("*") if file.suffix in pickles]


@needs_mlflow
def test_what_is_refused(tiny_run: Path, tmp_path: Path) -> None:
    import mlflow
    import pandas as pd

    flavour.save_model(Recommender.load(tiny_run), tmp_path / "model")
    with pytest.raises(mlflow.MlflowException, match="items"):
        mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(pd.DataFrame({"clicks": [[1]]}))
    with pytest.raises(ValueError, match="column 'items' holds lists"):
        flavour._load_pyfunc(str(tmp_path / "model" / "model")).predict(pd.DataFrame({"a": [1]}))
    described = tmp_path / "model" / "MLmodel"
    described.write_text(described.read_text().replace("  pyg_srgnn:", "  other:"))
    with pytest.raises(ValueError, match="has the flavours other, python_function, and not pyg_sr"):
        flavour.load_model(str(tmp_path / "model"))


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is not None, reason="mlflow is installed")
def test_without_mlflow(tiny_run: Path, tmp_path: Path) -> None:
    recommender = Recommender.load(tiny_run)
    said = r"a model of MLflow needs mlflow-skinny, .*pip install .*\[mlflow\]"
    with pytest.raises(ValueError, match=said):
        flavour.log_model(recommender)
    with pytest.raises(ValueError, match=said):
        flavour.save_model(recommender, tmp_path / "model")
