"""Requests that schemathesis makes from the OpenAPI schema: none is answered with 5xx.

They take SRGNN_FUZZ_SECONDS (15 by default). Five minutes:
``SRGNN_FUZZ_SECONDS=300 pytest tests/serving/test_fuzz.py -s``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pyg_srgnn.export.write import export
from tests.export.texts import checkpoint
from tests.serving.running import in_thread
from tests.serving.shop import untrained

pytestmark = pytest.mark.slow

SECONDS = os.environ.get("SRGNN_FUZZ_SECONDS", "15")
# To JSON Schema 17.0 is a whole number and to us it is none; and a session without a known item
# cannot be explained. Of a path with two methods Starlette's 405 names but one.
LEFT_OUT = "positive_data_acceptance,allow_header_conformance"
# It makes of our prefixItems, a pair's, what OpenAPI 3.1 does not allow, and then refuses it:
# with this check always, with others now and then.
SETTINGS = """
[[operations]]
include-path = "/explain"
checks.response_schema_conformance.enabled = false

[[operations]]
include-path = "/items/add"  # a list of too many items is too large a body, too
checks.negative_data_rejection.expected-statuses = [400, 403, 413, 422]
"""
OWN_ERROR = ("Invalid Schema Object in response definition", "edges -> items -> items")


ANSWERED = r'srgnn_requests_total\{endpoint="(.+)",status="(\d+)"\}'
ENDPOINTS = ("/recommend", "/recommend/batch", "/sessions/{id}/click", "/items")
TOKEN = "open-sesame"
ROUNDS = 20  # at most, on a machine that is too busy to reach every endpoint in one


def fuzz(url, folder):
    """Send requests for a while; their number."""
    command = [Path(sys.executable).with_name("schemathesis"), "run"]
    command += [f"{url}/openapi.json", "--checks=all", f"--exclude-checks={LEFT_OUT}"]
    command += [
        f"--header=Authorization: Bearer {TOKEN}",
        "--continue-on-failure",
        f"--max-time={int(SECONDS) // 2 or 1}",
        "--no-color",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    print(done.stdout)
    own = "= FAILURES =" not in done.stdout and "Schema Error: 1\n" in done.stdout
    own &= all(part in done.stdout for part in OWN_ERROR)
    assert done.returncode == 0 or own, done.stdout + done.stderr
    found = re.search(r"(\d+) generated", done.stdout)
    return int(found[1]) if found else 0


@pytest.mark.parametrize("kind", ["whole", "text", "with texts"])
def test_no_request_is_answered_with_an_error_of_ours(tmp_path, kind, caplog):
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    if kind == "with texts":  # to which items can be added
        model = export(checkpoint(), tmp_path / "export")
    else:
        ids = {"whole": list(range(-50, 50)), "text": [f"Größe {i}" for i in range(100)]}
        model = untrained(tmp_path, ids[kind])
    wanted = {(endpoint, "200") for endpoint in ENDPOINTS} | {("/items/add", "422")}
    with in_thread(model, sessions="memory", max_kept=50, token=TOKEN) as running:
        running.client.headers["Authorization"] = f"Bearer {TOKEN}"
        added = running.post("/items/add", {"ids": ["new"], "texts": ["a red thing"]})
        assert added.status_code == (200 if kind == "with texts" else 422)
        generated, answered = 0, set()
        for _ in range(ROUNDS):
            generated += fuzz(running.url, tmp_path)
            counted = running.get("/metrics").text
            answered = set(re.findall(ANSWERED, counted))
            assert not [pair for pair in answered if pair[1][0] == "5" and pair[0] != "/ready"]
            if generated > 100 and wanted <= answered:
                break
        else:
            pytest.fail(f"{generated} requests in {ROUNDS} rounds; answered: {sorted(answered)}")
        assert len(running.service.store) <= 50
    assert not [record for record in caplog.records if record.exc_info]
