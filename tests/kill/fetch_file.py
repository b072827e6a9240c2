"""Fetch one file: ``python fetch_file.py NAME SHA256 URL FOLDER``; says when it starts.

Loads ``download.py`` alone, which takes a moment where the whole package takes seconds.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "pyg_srgnn" / "datasets"))

import download

if __name__ == "__main__":
    name, sha256, url, folder = sys.argv[1:]
    print("starting", flush=True)
    download.fetch(download.Source(name, sha256, (url,)), folder)
