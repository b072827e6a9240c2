"""Opens a new model in another process first, which may take too long or too much memory.

A service cannot stop a model that never finishes, and would itself be killed if memory ran out.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pyg_srgnn.inference.rules import Rules
from pyg_srgnn.serving.settings import Settings

if TYPE_CHECKING:
    from pyg_srgnn.inference.recommender import Recommender


def answer_once(recommender: Recommender, path: str, batch_size: int) -> None:
    """Let a model answer its largest batch, so that later requests need no more time and memory.

    Raises:
        ValueError: If its scores are no numbers.
    """
    popular = recommender.vocabulary.decode(recommender.popularity.topk(1).indices.tolist())
    for exclude_seen in (False, True):
        rules = Rules(exclude_seen=exclude_seen)
        best = recommender.answer([popular] * batch_size, 20, [rules])[0].items
        if not (best or exclude_seen) or not all(math.isfinite(score) for _, score in best):
            raise ValueError(f"{path}: the model gives scores that are no numbers")


async def try_out(
    path: str, settings: Settings, into: Path | None = None, first: bool = False
) -> None:
    """Let another process load a model and answer once.

    Args:
        path: A run directory, checkpoint file or exported folder.
        settings: Sessions that are scored at once, the time limit, threads and precision.
        into: The file that it lays the model out in, for processes that map it. (default: none)
        first: Whether no model is served yet, which takes as long as it takes. (default: False)

    Raises:
        ValueError: If the model cannot be loaded, or did not answer in time.
    """
    # With the path of this process rather than that of -c and the environment.
    code = f"import sys; sys.path = {sys.path!r}; from {__name__} import main; main()"
    seconds = None if first else settings.reload_timeout
    given = [path, str(settings.batch_size), str(math.ceil(seconds or 0))]
    given += [settings.precision, str(settings.threads or ""), str(into or "")]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-c", code, *given),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), seconds)
    except TimeoutError:
        raise ValueError(f"{path}: the model has not answered within {seconds:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        why = output.decode(errors="replace").strip()
        ended = f"{path}: the process that tried the model ended with {process.returncode}"
        raise ValueError(why or ended)


def main() -> None:
    """Try a model, and print what is wrong in one line."""
    path, batch_size, seconds, precision, threads, into = sys.argv[1:]
    if int(seconds):
        _stand_back(int(seconds))
    # Not needed by the process that starts workers.
    import torch

    from pyg_srgnn.inference.recommender import Recommender, load_trained
    from pyg_srgnn.inference.shared import write_shared

    if threads:
        torch.set_num_threads(int(threads))
    try:
        trained = load_trained(path, precision)
        answer_once(Recommender.of(trained), path, int(batch_size))
        if into:
            write_shared(trained, into)
    except Exception as error:
        mendable = isinstance(error, ImportError | OSError | ValueError)
        kind = "" if mendable else f"{path}: {type(error).__name__}: "
        print(kind + " ".join(str(error).split()))
        raise SystemExit(1) from None


def _stand_back(seconds: int) -> None:
    """Leave the machine to a service that has a model, and end in time even if it was killed."""
    if hasattr(signal, "alarm"):
        signal.alarm(seconds + 1)
    with suppress(OSError):
        os.nice(10)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # this process is killed first if memory runs out
