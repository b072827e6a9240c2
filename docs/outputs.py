"""Makes every output that README.md and docs/serving.md show, by the commands that stand above it.

A block between the comments ``shell`` and ``/shell`` holds commands, each after ``$``, and below
each what it prints. They are run in order, as a user would type them, in one folder; a service is
started beside them and asked at a port of its own. In a folder with a finished run of ``make
train``, that run is taken: its ``train.log`` is what the command has printed.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from urllib.request import urlopen

from pyg_srgnn.utils.files import written_aside

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "docs/serving.md")
BLOCK = re.compile(r"(<!-- shell -->\n```\w*\n)(.*?)(```\n<!-- /shell -->)", re.DOTALL)
PROGRAMS = Path(sys.executable).parent
BAR = re.compile(r"\d/[\d,]+ batches, ")
SERVED = "127.0.0.1:8000"
# Other machines and numbers of threads train to other weights: percentages then differ by some
# tenths, logarithms of probabilities and the items that lie close together by some more.
TOLERANCE = 1.0
OF_FEW = 4.0  # of a line with rare and cold targets, which are some hundreds
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
# Whole numbers that are the same everywhere; others are times, speeds, epochs and ids.
COUNTED = re.compile(r"([\d,]+) (?:items|sessions|samples(?!/s)|parameters)\b")


def main() -> int:
    """Run the commands, then write what they print, or compare; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="compare only: status 1 if any differs"
    )
    parser.add_argument("--folder", type=Path, help="where to run (default: a temporary one)")
    args = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder = (args.folder or Path(temporary)).resolve()
        differences = []
        for page in PAGES:
            path = ROOT / page
            old = path.read_text(encoding="utf-8")
            new = BLOCK.sub(lambda block: block[1] + remade(block[2], folder) + block[3], old)
            differences += [f"{page}: {line}" for line in differing(old, new)]
            if not args.check and new != old:
                with written_aside(path) as aside:
                    aside.write_text(new, encoding="utf-8")
    if args.check:
        print(*differences or ["every output holds"], sep="\n")
    return int(args.check and bool(differences))


def remade(block: str, folder: Path) -> str:
    """The block's commands with what they print now."""
    lines = []
    with ExitStack() as services:
        port = free_port()
        for command in re.findall(r"^\$ (.*)", block, re.MULTILINE):
            lines.append(f"$ {command}")
            if command.startswith("srgnn-serve"):
                services.enter_context(served(f"{command.split('#')[0]} port={port}", port, folder))
            else:
                lines += printed(command.replace(SERVED, f"127.0.0.1:{port}"), folder)
    return "\n".join(lines) + "\n"


def printed(command: str, folder: Path) -> list[str]:
    """What a command prints, without the paths of this machine."""
    logs = [path.with_name("train.log") for path in folder.glob("runs/synthetic/*/metrics.json")]
    if command == "make train":
        command = f"cat {max(logs)}" if logs else "srgnn-train"
    shell = ["bash", "-c", command]
    done = subprocess.run(shell, cwd=folder, env=environment(), capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command}\n{done.stderr}")
    text = re.sub(r"\S*/(?=srgnn-)", "", done.stdout).replace(f"{folder}/", "")
    # What a bar shows on a terminal stands in a file as a line now and then.
    return [line.rstrip() for line in text.splitlines() if not BAR.search(line)]


@contextmanager
def served(command: str, port: int, folder: Path) -> Iterator[None]:
    """A service that is ready, until the block ends."""
    shell = ["bash", "-c", f"exec {command}"]
    with subprocess.Popen(shell, cwd=folder, env=environment(), stderr=subprocess.PIPE) as process:
        try:
            until = monotonic() + 120
            while not answers(f"http://127.0.0.1:{port}/ready"):
                if process.poll() is not None or monotonic() > until:
                    process.kill()
                    raise SystemExit(f"{command}\n{process.communicate()[1].decode()}")
                sleep(0.2)
            yield
        finally:
            process.terminate()
            process.communicate()


def answers(url: str) -> bool:
    """Whether a service answers with success."""
    try:
        with urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def free_port() -> int:
    """A port of this machine that nobody listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def environment() -> dict[str, str]:
    """With this environment's programs first, and this checkout's package."""
    path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "NO_COLOR": "1"}


def differing(old: str, new: str) -> list[str]:
    """The lines of two texts that are not the same but for numbers as training varies them."""
    found = []
    for before, after in zip_longest(old.splitlines(), new.splitlines(), fillvalue=""):
        counted = [COUNTED.findall(line) for line in (before, after)]
        words = [" ".join(NUMBER.sub("#", line).split()) for line in (before, after)]
        decimals = [
            [float(number.replace(",", "")) for number in NUMBER.findall(line) if "." in number]
            for line in (before, after)
        ]
        tolerance = OF_FEW if " / " in before else TOLERANCE
        near = len(decimals[0]) == len(decimals[1]) and all(
            abs(a - b) <= tolerance for a, b in zip(*decimals, strict=True)
        )
        if counted[0] != counted[1] or words[0] != words[1] or not near:
            found.append(f"shown   {before}\n    printed {after}")
    return found


if __name__ == "__main__":
    sys.exit(main())
