"""What is shipped beside the code: types, images, the workflow, the citation, release notes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
import yaml

from pyg_srgnn.version import __version__
from tests.test_imports import TRAINING
from tests.test_versions import MINORS

ROOT = Path(__file__).parents[1]
USER = """\
from pyg_srgnn import Recommender, SRGNNRecommender

best = Recommender.load("runs/shop").recommend([[17, 4]], k=5)
reveal_type(best)
reveal_type(SRGNNRecommender(epochs=3).fit(None))
SRGNNRecommender(epochs="three")
"""
REVEALED = [
    'note: Revealed type is "list[list[tuple[int | str, float]]]"',
    'note: Revealed type is "pyg_srgnn.estimator.recommender.SRGNNRecommender"',
    'error: Argument "epochs" to "SRGNNRecommender" has incompatible type "str"; expected "int | '
    'None"  [arg-type]',
]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_users_mypy_knows_the_types(tmp_path: Path) -> None:
    """Of a package that is installed, which counts as typed by its py.typed alone."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    (site,) = venv.glob("lib/python*/site-packages")
    shutil.copytree(ROOT / "pyg_srgnn", site / "pyg_srgnn")
    (site / "others.pth").write_text(sysconfig.get_path("purelib"))
    (tmp_path / "user.py").write_text(USER)
    (tmp_path / "mypy.ini").write_text(
        "[mypy]\nfollow_imports = skip\n[mypy-pyg_srgnn.*]\nfollow_imports = normal\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "user.py"]
    command += ["--python-executable", str(venv / "bin/python"), "--cache-dir", str(tmp_path)]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout
    assert [line.split(": ", 1)[1] for line in said.splitlines()[:-1]] == REVEALED, said


def stages() -> dict[str, list[str]]:
    """The instructions of each stage of the Dockerfile, each in one line."""
    lines = text("Dockerfile").replace("\\\n", " ").splitlines()
    found: dict[str, list[str]] = {}
    for line in (" ".join(line.split()) for line in lines):
        if name := re.fullmatch(r"FROM \S+ AS (\w+)", line):
            found[name[1]] = []
        elif line and not line.startswith("#"):
            found[list(found)[-1]].append(line)
    return found


def test_the_images() -> None:
    found = stages()
    assert list(found) == ["training", "serving"]  # the last one is the default
    for stage in found.values():
        last = [line for line in stage if line.startswith("USER")]
        assert last == ["USER 10001"] and stage.index(last[0]) > stage.index("COPY . /src")
    serving = found["serving"]
    assert any(line.startswith("HEALTHCHECK") and "/ready" in line for line in serving)
    (run,) = (line for line in serving if line.startswith("RUN"))
    (listed,) = re.findall(r"--constraint \S+ (.*?) &&", run)
    unwanted = {name.replace("_", "-") for name in TRAINING}
    assert not unwanted & set(listed.split())
    (told,) = re.findall(r"^pip install (torch .*)$", text("docs/serving.md"), re.MULTILINE)
    assert set(listed.split()) == {*told.split(), "redis"}


def test_what_the_images_are_built_of() -> None:
    kept = {line[1:] for line in text(".dockerignore").splitlines() if line.startswith("!")}
    assert all((ROOT / name).exists() for name in kept)
    assert {"pyg_srgnn", "conf", "hydra_plugins", "pyproject.toml", "README.md", "LICENSE"} < kept


def test_the_services() -> None:
    held = yaml.safe_load(text("compose.yaml"))
    services = held["services"]
    assert set(services) == {"srgnn", "redis", "prometheus"}
    assert services["srgnn"]["build"]["target"] == "serving"
    from pyg_srgnn.serving.__main__ import _parser

    given = _parser().parse_args(services["srgnn"]["command"])
    assert (given.checkpoint, given.sessions) == (
        "/models/${MODEL:?the name of an export}",
        "redis://redis:6379/0",
    )
    scraped = yaml.safe_load(held["configs"]["prometheus"]["content"])["scrape_configs"][0]
    assert scraped["static_configs"] == [{"targets": ["srgnn:8000"]}]
    assert all(
        port.startswith("127.0.0.1:") for one in services.values() for port in one.get("ports", [])
    )


def test_the_workflow_runs_on_every_python() -> None:
    job = yaml.safe_load(text(".github/workflows/ci.yml"))["jobs"]["ci"]
    assert job["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in MINORS]
    assert job["steps"][-1]["run"] == "bash .ci/run"


def test_the_citation_and_the_version() -> None:
    held = yaml.safe_load(text("CITATION.cff"))
    assert (held["cff-version"], held["version"]) == ("1.2.0", __version__)
    assert held["license"] == "MIT" and held["references"][0]["doi"].startswith("10.1609/")


def notes(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / ".ci/release_notes"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


def test_release_notes(tmp_path: Path) -> None:
    log = tmp_path / "log.md"
    log.write_text(
        "# Log\n\n## [Unreleased]\n\n- c\n\n## [0.2.0] - 2026-01-02\n\n- b\n\n## [0.1.0]\n\n- a\n"
    )
    assert notes("0.2.0", str(log)).stdout == "- b\n"
    assert (
        notes("Unreleased", str(log)).stdout == "- c\n"
        and notes("0.1.0", str(log)).stdout == "- a\n"
    )
    missing = notes("0.3.0", str(log))
    assert missing.returncode == 1
    assert missing.stderr.endswith("has no section 0.3.0; it has Unreleased, 0.2.0, 0.1.0\n")
