"""Kill the processing of a benchmark: ``python process_files.py FOLDER TIMES SEED``.

A process of its own, because it forks: it runs no threads. It makes a benchmark of random sessions
in FOLDER, processes it once undisturbed and takes the time, then kills it TIMES times at random
moments of that time. After each kill the cache must be absent or equal to the undisturbed one; in
the end the next start must make it so. Writing is a small part of the work and the one where a
kill could do harm, so the same is done once more with nothing but the writing.
"""

from __future__ import annotations

import pickle
import random
import shutil
import sys
import time
from pathlib import Path

from pyg_srgnn.data import Sessions, Vocabulary
from pyg_srgnn.datasets.download import Source
from pyg_srgnn.datasets.two_file import TwoFileBenchmark
from pyg_srgnn.utils.files import sha256_of

try:
    from tests.kill.harness import kill_function, moments
except ImportError:  # started by its path
    from harness import kill_function, moments  # type: ignore[no-redef]

CATALOGUE = 500


def make_benchmark(folder: Path, seed: int, sessions: int = 30_000) -> type[TwoFileBenchmark]:
    """Write a benchmark of random sessions to ``folder/killed`` and return its class."""
    draw = random.Random(seed)

    def session() -> list[int]:
        return [draw.randint(1, CATALOGUE) for _ in range(draw.randint(2, 6))]

    training, test = (
        [session() for _ in range(sessions)],
        [session() for _ in range(sessions // 10)],
    )
    rows = [(s[:cut], s[cut]) for s in test for cut in range(len(s) - 1, 0, -1)]
    paths = [folder / "killed" / name for name in ("all_train_seq.txt", "test.txt")]
    paths[0].parent.mkdir(parents=True)
    paths[0].write_bytes(pickle.dumps(training))
    paths[1].write_bytes(pickle.dumps(([p for p, _ in rows], [t for _, t in rows])))

    class Killed(TwoFileBenchmark):
        name = "killed"
        sources = tuple(Source(path.name, sha256_of(path)) for path in paths)
        catalogue = CATALOGUE

    return Killed


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of all files in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def main(folder: Path, times: int, seed: int) -> None:
    """Kill, look, finish, compare; once in all of the work, once in the writing alone."""
    kind = make_benchmark(folder / "mirror", seed)
    read = kind(folder / "read", mirror=folder / "mirror").read()

    class Writing(kind):  # type: ignore[valid-type, misc]
        """The same files in the same cache, read beforehand."""

        def read(self) -> tuple[Sessions, Sessions, Vocabulary]:
            return read

    kill_and_finish("processing", kind, folder, times, seed)
    kill_and_finish("writing", Writing, folder, times, seed + 1)


def kill_and_finish(
    what: str, kind: type[TwoFileBenchmark], folder: Path, times: int, seed: int
) -> None:
    """Do the work undisturbed, then killed again and again, then once more to the end."""

    def process(root: str) -> TwoFileBenchmark:
        return kind(folder / what / root, mirror=folder / "mirror")

    start = time.perf_counter()
    undisturbed = process("undisturbed")
    duration = time.perf_counter() - start
    expected = contents(Path(undisturbed.processed_dir))
    sources = {Path(path).name: Path(path).read_bytes() for path in undisturbed.raw_paths}
    cache = (
        folder / what / "killed" / kind.name / "processed" / Path(undisturbed.processed_dir).name
    )
    raw = folder / what / "killed" / kind.name / "raw"
    halves = 0  # how often a kill left files half written, under another name

    def check() -> None:
        nonlocal halves
        for name, data in sources.items():
            file = raw / name
            assert not file.exists() or file.read_bytes() == data, f"{file} is half written"
        if cache.exists():
            assert contents(cache) == expected, f"{cache} is half written"
            shutil.rmtree(cache)  # so that the next one has something to do
        for half in cache.parent.glob("*.part"):
            halves += 1
            if halves % 2:  # each other one stays for the next start to find
                shutil.rmtree(half)

    killed = starts = 0
    while killed < times and starts < 20 * times:  # some are through before the kill
        delays = moments(times - killed, duration, seed + starts)
        killed += kill_function(lambda: process("killed"), delays, check)
        starts += len(delays)
    assert killed == times
    finished = process("killed")
    assert contents(cache) == expected
    assert finished.sessions == undisturbed.sessions
    left = [path.name for path in cache.parent.iterdir() if not path.name.endswith(".lock")]
    assert left == [cache.name], f"left behind: {left}"
    print(
        f"{what}: killed {killed} of {starts} starts, {halves} while files were being written; "
        f"undisturbed it takes {1000 * duration:.0f} ms"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
