"""A flavour of MLflow: logs recommenders, and loads them as functions of data frames."""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyg_srgnn.inference.recommender import Recommender
from pyg_srgnn.inference.rules import Rules
from pyg_srgnn.utils.extras import required_version
from pyg_srgnn.version import __version__

if TYPE_CHECKING:
    import pandas

FLAVOUR = "pyg_srgnn"
_DATA = "model"  # the folder that Recommender.save writes
_PARAMS: dict[str, Any] = {"k": 20, "exclude_seen": False}


def log_model(recommender: Recommender, name: str = "model", **options: Any) -> Any:
    """Log a recommender to the active run of MLflow, or to a new one.

    ``mlflow.pyfunc.load_model(uri).predict(frame, params={"k": 20})`` takes a frame of pandas with
    one row per session, whose column ``items`` holds lists of raw ids, and returns ``items``,
    ``scores``, ``unknown`` (number of clicks on items that it does not know) and ``popular``.

    Args:
        recommender: The recommender; :func:`load_model` gives it back.
        name: Name of the model. (default: ``"model"``)
        **options: Further arguments of ``mlflow.models.Model.log``, such as
            ``registered_model_name``.

    Returns:
        MLflow's ``ModelInfo``.

    Raises:
        ValueError: If mlflow is not installed; or see :meth:`pyg_srgnn.Recommender.save`.
    """
    _need_mlflow()
    from mlflow.models import Model

    flavour = sys.modules[__name__]
    return Model.log(
        artifact_path=None, name=name, flavor=flavour, recommender=recommender, **options
    )


def save_model(
    recommender: Recommender, path: str | Path, mlflow_model: Any = None, **_: Any
) -> None:
    """Write a recommender as a folder of MLflow.

    Args:
        recommender: The recommender.
        path: The folder, which must not be there.
        mlflow_model: MLflow's description of the model. (default: a new one)

    Raises:
        ValueError: See :func:`log_model`.
    """
    _need_mlflow()
    from mlflow import pyfunc
    from mlflow.models import Model

    path, described = Path(path), mlflow_model or Model()
    path.mkdir(parents=True, exist_ok=True)
    recommender.save(path / _DATA)
    python = {
        "python": platform.python_version(),
        "build_dependencies": ["pip"],
        "dependencies": ["-r requirements.txt"],
    }
    requirements = f"pyg-srgnn=={__version__}\npandas\n"
    (path / "requirements.txt").write_text(requirements, encoding="utf-8")
    pyfunc.add_to_model(described, loader_module=__name__, data=_DATA, python_env=python)
    described.add_flavor(FLAVOUR, version=__version__, data=_DATA)
    described.signature = _signature(recommender)
    described.save(path / "MLmodel")


def load_model(uri: str) -> Recommender:
    """Load the recommender that was logged; nothing in it is executed.

    Args:
        uri: Such as ``"models:/shop/3"`` or ``"runs:/RUN/model"``, or a folder.

    Raises:
        ValueError: If mlflow is not installed, or it is no model of this package.
    """
    _need_mlflow()
    from mlflow.artifacts import download_artifacts
    from mlflow.models import Model

    folder = Path(download_artifacts(artifact_uri=str(uri)))
    found = Model.load(folder).flavors
    if FLAVOUR not in found:
        raise ValueError(f"{uri}: it has the flavours {', '.join(found)}, and not {FLAVOUR}")
    return Recommender.load(folder / _DATA)


class _Function:
    """What MLflow calls with a frame."""

    def __init__(self, recommender: Recommender) -> None:
        self.recommender = recommender

    def predict(
        self, model_input: pandas.DataFrame, params: dict[str, Any] | None = None
    ) -> pandas.DataFrame:
        import pandas

        if not isinstance(model_input, pandas.DataFrame) or "items" not in model_input:
            raise ValueError(
                "expected a data frame with one row per session, whose column 'items' holds lists "
                "of raw ids"
            )
        asked = _PARAMS | (params or {})
        answers = self.recommender.answer(
            model_input["items"].tolist(),
            int(asked["k"]),
            [Rules(exclude_seen=bool(asked["exclude_seen"]))],
        )
        return pandas.DataFrame(
            {
                "items": [[item for item, _ in answer.items] for answer in answers],
                "scores": [[score for _, score in answer.items] for answer in answers],
                "unknown": [len(answer.unknown) for answer in answers],
                "popular": [answer.popular for answer in answers],
            },
            index=model_input.index,
        )


def _load_pyfunc(path: str) -> _Function:
    """MLflow's way into this module."""
    return _Function(Recommender.load(path))


def _signature(recommender: Recommender) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Array, ColSpec, DataType, ParamSchema, ParamSpec, Schema

    kind = DataType.long if isinstance(recommender.vocabulary.ids[0], int) else DataType.string
    kinds = {bool: DataType.boolean, int: DataType.long}
    return ModelSignature(
        inputs=Schema([ColSpec(Array(kind), "items")]),
        outputs=Schema(
            [
                ColSpec(Array(kind), "items"),
                ColSpec(Array(DataType.double), "scores"),
                ColSpec(DataType.long, "unknown"),
                ColSpec(DataType.boolean, "popular"),
            ]
        ),
        params=ParamSchema(
            [ParamSpec(name, kinds[type(value)], value) for name, value in _PARAMS.items()]
        ),
    )


def _need_mlflow() -> None:
    for package in ("mlflow", "mlflow-skinny"):
        try:
            required_version(package, "mlflow", "a model of MLflow")
        except ValueError:
            if package == "mlflow-skinny":
                raise
        else:
            return
