"""Tries a new model out in another process, which may take too long or too much memory.

A service cannot stop a model that never finishes, and would itself be killed if memory ran out.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import sys
from contextlib import suppress

import torch

from pyg_srgnn.inference.recommender import Recommender
from pyg_srgnn.inference.rules import Rules
from pyg_srgnn.serving.settings import Settings


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


async def try_out(path: str, settings: Settings) -> None:
    """Let another process load a model and answer once.

    Args:
        path: A run directory, checkpoint file or exported folder.
        settings: Sessions that are scored at once, the time limit, threads and precision.

    Raises:
        ValueError: If the model cannot be loaded, or did not answer in time.
    """
    # With the path of this process rather than that of -c and the environment.
    code = f"import sys; sys.path = {sys.path!r}; from {__name__} import main; main()"
    seconds = settings.reload_timeout
    given = [path, str(settings.batch_size), str(math.ceil(seconds))]
    given += [settings.precision, str(settings.threads or "")]
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
    path, batch_size, seconds, precision, threads = sys.argv[1:]
    if threads:
        torch.set_num_threads(int(threads))
    if hasattr(signal, "alarm"):
        signal.alarm(int(seconds) + 1)  # in case the service has been killed
    with suppress(OSError):
        os.nice(10)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # this process is killed first if memory runs out
    try:
        answer_once(Recommender.load(path, precision), path, int(batch_size))
    except (OSError, ValueError) as error:
        print(" ".join(str(error).split()))
        raise SystemExit(1) from None
