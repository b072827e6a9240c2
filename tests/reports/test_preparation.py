"""The preparation report as people read it: on the terminal and as a page."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser

import pytest

from pyg_srgnn.data import Sessions, Vocabulary
from pyg_srgnn.data.statistics import describe
from pyg_srgnn.reports import preparation_table, write_report

EVIL = "<script>alert('x')</script>&\"quoted\""


def described(test=((1, 4), (4, 4, 0))):
    """Training on two days, test on a third; item 4 is unknown to training."""
    training = Sessions.from_lists([[0, 1, 0], [2, 1], [3, 2]], [10, 20, 86_400])
    test = Sessions.from_lists(test, [2 * 86_400 + i for i in range(len(test))])
    return describe(training, test, Vocabulary("abcde"))


def of_a_log():
    """A report with everything that a click log's has."""
    return {
        "dataset": "click_log",
        "files": ["clicks.csv"],
        "engine": "polars",
        "columns": {"session": "sid", "item": "product", "time": "ts", "order": None},
        "time_format": "iso",
        "preparation": {"min_support": 5, "where": {"event": "view"}},
        "rows": 12_390,
        "bad_rows": [
            {"reason": "null item", "rows": 1_003, "first": "clicks.csv, line 17: nothing there"},
            {"reason": "no time", "rows": 2, "first": "clicks.csv, line 9: 'soon'"},
        ],
        "duplicates": 12,
        "steps": [
            {"rule": "read", "clicks": 11_385, "sessions": 2_986},
            {"rule": "sessions of fewer than 2 clicks", "clicks": 11_000, "sessions": 1_601},
            {"rule": "items of fewer than 5 clicks", "clicks": 3_000, "sessions": 1_600},
        ],
        "split": {"test": "7d", "limit": "2016-05-25T00:00:00Z"},
        **described(),
        "seconds": {"read": 0.31, "sessions": 0.1, "total": 1_500.0},
        "peak_memory_mb": 1_212.4,
    }


class Page(HTMLParser):
    """What a browser would make of a page: its elements, their texts, its tables' rows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "path", "use", "rect", "stop"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in self.open:
            assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def page_of(report, folder) -> tuple[str, Page]:
    path = write_report(report, folder)
    assert path == folder / "report.html"
    text = path.read_text(encoding="utf-8")
    return text, Page(text)


def line(text: str, start: str) -> str:
    """The rest of the one line that begins so, with single spaces."""
    rows = [" ".join(row.split()) for row in text.splitlines() if row.startswith("  ")]
    (found,) = [row for row in rows if row.startswith(start + " ")]
    return found.removeprefix(start + " ")


@pytest.fixture
def no_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)


# On the terminal


def test_what_was_read_and_dropped():
    text = preparation_table(of_a_log())
    assert line(text, "rows read") == "12,390"
    assert line(text, "bad rows") == "1,005"
    assert line(text, "duplicates") == "12"
    assert line(text, "1,003 null item") == "clicks.csv, line 17: nothing there"
    assert line(text, "2 no time") == "clicks.csv, line 9: 'soon'"
    assert line(text, "columns") == "session = sid, item = product, time = ts"


def test_a_line_for_every_rule():
    text = preparation_table(of_a_log())
    assert line(text, "read") == "11,385 2,986"
    assert line(text, "sessions of fewer than 2 clicks") == "385 11,000 1,385 1,601"
    assert line(text, "items of fewer than 5 clicks") == "8,000 3,000 1 1,600"


def test_after_the_split_each_part_is_followed_by_itself():
    steps = [
        {"rule": "read", "clicks": 100, "sessions": 20},
        {"rule": "training part", "clicks": 70, "sessions": 15, "part": "training"},
        {"rule": "test part", "clicks": 30, "sessions": 5, "part": "test"},
        {"rule": "unknown items", "clicks": 25, "sessions": 4, "part": "test"},
        {"rule": "the last half", "clicks": 35, "sessions": 8, "part": "training"},
    ]
    text = preparation_table({"steps": steps})
    assert line(text, "training part") == "70 15" and line(text, "test part") == "30 5"
    assert line(text, "unknown items") == "5 25 1 4"
    assert line(text, "the last half") == "35 35 7 8"


def test_a_count_that_was_not_made():
    """The next one that was made tells what both rules dropped."""
    steps = [
        {"rule": "read", "clicks": 100, "sessions": None},
        {"rule": "sessions", "clicks": 100, "sessions": 20},
        {"rule": "rare items", "clicks": 90, "sessions": None},
        {"rule": "short sessions", "clicks": 80, "sessions": 9},
    ]
    text = preparation_table({"steps": steps})
    assert line(text, "read") == "100" and line(text, "sessions 0") == "100 20"
    assert line(text, "rare items") == "10 90"
    assert line(text, "short sessions") == "10 80 11 9"


def test_the_split_the_parts_and_the_cost():
    text = preparation_table(of_a_log())
    assert line(text, "split") == "test = 7d, at 2016-05-25T00:00:00Z"
    assert line(text, "training") == "3 7 4 4 1970-01-01T00:00:10Z 1970-01-02T00:00:00Z"
    assert line(text, "test 2") == "5 3 3 1970-01-03T00:00:00Z 1970-01-03T00:00:01Z"
    assert line(text, "items in the catalogue") == "5"
    assert "training 25.00 %, test 33.33 %" in text
    assert "1; 3 test clicks are on them, 60.00 %" in text
    assert line(text, "seconds") == "read 0.3, sessions 0.1, total 1,500.0"
    assert line(text, "peak memory") == "1,212 MB"


def test_columns_stand_below_one_another():
    text = preparation_table(of_a_log())
    rows = text[text.index("Rules") :].splitlines()[1:5]
    assert len({len(row) for row in rows}) == 1, "the last column ends in one place"


def test_sessions_alone():
    """A two-file benchmark knows nothing of a log, and has no times."""
    sessions = Sessions.from_lists([[0, 1]])
    text = preparation_table(describe(sessions, sessions, Vocabulary("ab")))
    assert line(text, "training") == "1 2 1 2"
    for absent in ("Click log", "Bad rows", "Rules", "split", "Cost", "first session"):
        assert absent not in text


def test_no_test_sessions(tmp_path):
    report = of_a_log() | described(test=())
    text = preparation_table(report)
    assert line(text, "test 0") == "0 0 0"
    assert "training 25.00 %, test none" in text
    html, _ = page_of(report, tmp_path)
    assert CAPTIONS[-1] not in html


def test_many_files_are_not_all_named():
    text = preparation_table(of_a_log() | {"files": [f"part-{i}.csv" for i in range(1_200)]})
    assert line(text, "files") == "part-0.csv, part-1.csv, part-2.csv and 1,197 more"


def test_what_would_break_the_table_is_shown_as_an_escape(tmp_path):
    """A line's end, a terminal's command, a byte of a file name that is no UTF-8."""
    report = of_a_log() | {"files": ["a\nb\x1b[31m\udc80.csv"]}
    assert line(preparation_table(report), "files") == r"a\nb\x1b[31m\udc80.csv"
    _, page = page_of(report, tmp_path)
    assert ["files", r"a\nb\x1b[31m\udc80.csv"] in page.rows
    assert json.loads((tmp_path / "report.json").read_text())["files"] == report["files"]


def test_published_counts():
    published = {"training sessions": (186_670, 186_670), "items": (43_097, 43_096)}
    text = preparation_table(described() | {"published": published})
    assert line(text, "training sessions") == "186,670 186,670 ok"
    assert line(text, "items 43,097") == "43,096 differs"


# As files


def test_the_json_is_the_report(tmp_path):
    report = of_a_log()
    write_report(report, tmp_path / "new" / "folder")
    assert json.loads((tmp_path / "new" / "folder" / "report.json").read_text()) == report
    assert {path.name for path in (tmp_path / "new" / "folder").iterdir()} == {
        "report.json",
        "report.html",
    }


def test_the_page_has_every_row_of_the_terminal(tmp_path):
    report = of_a_log()
    text, page = page_of(report, tmp_path)
    terminal = preparation_table(report)
    shown = {"".join("".join(row).split()) for row in page.rows}
    printed = [row for row in terminal.splitlines() if row.startswith("  ")]
    assert len(printed) > 20
    for row in printed:
        assert "".join(row.split()) in shown
    assert ["where", '{"event": "view"}'] in page.rows
    assert "<h1>click_log: preparation report</h1>" in text


def test_the_page_needs_nothing_else(tmp_path):
    text, page = page_of(of_a_log(), tmp_path)
    assert page.open == [], "an element is left open"
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"script", "link", "img", "iframe", "object"}
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#"), f"<{tag}> fetches something"
    assert "url(http" not in text and "@import" not in text
    assert "width=device-width" in text and "prefers-color-scheme: dark" in text


def test_whatever_users_give_is_escaped(tmp_path):
    report = of_a_log() | {
        "dataset": EVIL,
        "files": [EVIL],
        "engine": EVIL,
        "columns": {"item": EVIL, EVIL: "x"},
        "time_format": EVIL,
        "preparation": {"delimiter": EVIL, "where": {EVIL: EVIL}},
        "bad_rows": [{"reason": EVIL, "rows": 1, "first": EVIL}],
        "steps": [{"rule": EVIL, "clicks": 1, "sessions": 1}],
        "split": {"test": EVIL, "limit": EVIL},
        "seconds": {EVIL: 1.0},
        "published": {EVIL: (1, 1)},
    }
    text, page = page_of(report, tmp_path)
    assert "<script" not in text
    assert "script" not in {tag for tag, _ in page.tags}
    assert ["files", EVIL] in page.rows, "the text itself is shown"
    assert ["1", EVIL, EVIL] in page.rows


# Plots

CAPTIONS = [
    "Session lengths",
    "Item popularity in training",
    "Clicks per day",
    "Targets that repeat an item of their session",
    "Test clicks on items that no training session holds",
]


def captions(text: str) -> list[str]:
    return re.findall(r"<figcaption>(.*?)</figcaption>", text)


def test_five_plots(tmp_path):
    pytest.importorskip("matplotlib")
    text, page = page_of(of_a_log(), tmp_path)
    assert captions(text) == CAPTIONS
    assert text.count("<svg") == 5
    assert "1970-01-0" in text and ">25.00 %</text>" in text, "texts are texts"
    for part in ("training", "test"):
        assert f"var(--{part})" in text.split("</style>", 1)[1], "colours are the page's"
    assert not re.search(r"#00000\d", text)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids)) > 0
    for wanted in re.findall(r'(?:url\(|href=")#([\w-]+)', text):
        assert wanted in ids
    assert len(text) < 120_000


@pytest.mark.slow
@pytest.mark.parametrize(
    "pairs",
    [
        [[1, 80], [10, 40], [300, 5]],
        [[1, 45], [8, 30]],
        [[1, 7], [8, 7]],
        [[1, 9]],
        [[1, 3], [60, 1]],
        [[1, 2_000_000], [40_000, 1]],
    ],
    ids=str,
)
def test_both_axes_of_the_popularity_have_numbers(pairs, tmp_path):
    pytest.importorskip("matplotlib")
    report = of_a_log()
    report["distributions"]["item_popularity"] = pairs
    text, _ = page_of(report, tmp_path)
    (svg,) = re.findall(r"<svg(?:(?!</svg>).)*rank of the item.*?</svg>", text, re.DOTALL)
    for anchor in ("middle", "end"):  # of x and y
        found = re.findall(rf"text-anchor: {anchor}[^>]*>([\d,]+)</text>", svg)
        numbers = [int(number.replace(",", "")) for number in found]
        assert len(numbers) >= 2 and numbers == sorted({*numbers} - {0})


def test_the_same_report_gives_the_same_page(tmp_path):
    first, _ = page_of(of_a_log(), tmp_path)
    assert page_of(of_a_log(), tmp_path)[0] == first


def test_without_times_there_are_no_days(tmp_path):
    pytest.importorskip("matplotlib")
    sessions = Sessions.from_lists([[0, 1, 1]])
    text, _ = page_of(describe(sessions, sessions, Vocabulary("ab")), tmp_path)
    assert captions(text) == [caption for caption in CAPTIONS if caption != "Clicks per day"]


def test_long_sessions_and_many_years(tmp_path):
    """Nothing grows with the days or the lengths without bound."""
    pytest.importorskip("matplotlib")
    lists = [[0] * n for n in range(2, 600)]
    days = [86_400 * 30 * n for n in range(len(lists))]
    training = Sessions.from_lists(lists, days)
    far = Sessions.from_lists([[0, 1]], [10**12])  # the year 33658
    text, _ = page_of(describe(training, far, Vocabulary("ab")), tmp_path)
    assert len(captions(text)) == 5 and len(text) < 150_000


def test_without_matplotlib(tmp_path, no_matplotlib):
    text, page = page_of(of_a_log(), tmp_path)
    assert "<svg" not in text and "<figure" not in text
    assert "No plots without matplotlib: pip install" in text
    assert ["rows read", "12,390"] in page.rows
