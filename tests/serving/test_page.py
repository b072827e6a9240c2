"""The page in a browser, used as a person does: by mouse, by keyboard, on a phone, at night.

SRGNN_SCREENSHOT=docs/page.png pytest tests/serving/test_page.py -k screenshot  makes the picture.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import time
from urllib.parse import unquote, urlsplit

import pytest

from pyg_srgnn import Recommender
from pyg_srgnn.datasets import ClickLog
from pyg_srgnn.export.write import export
from pyg_srgnn.inference.clicks import Clicks
from tests.clicklog.test_events import EVENTS, log, write
from tests.inference.test_clicks import trained
from tests.serving import shop
from tests.serving.running import Held, eventually, in_thread

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("the page's tests need chromium, and none is in PATH", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect
expect.set_options(timeout=15_000)  # of a busy machine

EVIL = "<img src=x onerror=alert(1)>"
LARGE = 2**62 + 1  # not a number that JavaScript has


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return shop.train_with_texts(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def recommender(model):
    return Recommender.load(model)


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    return str(shop.write_names(tmp_path_factory.mktemp("names") / "names.tsv"))


@pytest.fixture(scope="module")
def service(model, names):
    with in_thread(model, names=names, wrap=Held) as running:
        yield running


@pytest.fixture(scope="module")
def chromium():
    with sync_api.sync_playwright() as playwright:
        sandbox = [] if os.name != "posix" or os.geteuid() else ["--no-sandbox"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium):
    """Opens pages that may say nothing on the console and ask nobody but their service."""
    contexts, troubles = [], []

    def open_page(url, items=None, allow="^$", settle=True, **options):
        context = chromium.new_context(**{"viewport": {"width": 1180, "height": 900}, **options})
        contexts.append(context)
        context.grant_permissions([])
        page = context.new_page()
        page.set_default_timeout(15_000)
        host = urlsplit(url).netloc

        def said(message):
            if message.type in ("error", "warning") and not re.search(allow, message.text):
                troubles.append(message.text)

        page.on("console", said)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: troubles.append(f"dialog: {dialog.message}"))
        page.on(
            "request",
            lambda r: urlsplit(r.url).netloc == host or troubles.append(f"asked {r.url}"),
        )
        page.goto(url + (f"/#items={items}" if items is not None else "/"))
        if settle:
            settled(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


def settled(page):
    """Wait until the last answer has been drawn."""
    expect(page.locator("#next")).to_have_attribute("aria-busy", "false")
    expect(page.locator("#picture")).to_have_attribute("aria-busy", "false")


def clicks(page):
    return page.locator("#clicks .names b").all_inner_texts()


def shown(page):
    names = page.locator("#best .names b").all_inner_texts()
    scores = page.locator("#best .value").all_inner_texts()
    return [(name, score.replace("−", "-")) for name, score in zip(names, scores, strict=True)]


def recommended(recommender, session, **options):
    (best,) = recommender.recommend([session], **{"k": 10, **options})
    return [(shop.NAMES[item], percent(score)) for item, score in best]


def percent(logarithm):
    share = math.exp(logarithm)
    return f"{share:.2%}".replace("%", " %") if share >= 0.00005 else "< 0.01 %"


def test_filters_and_what_is_out_of_stock(open_page, model, names, tmp_path, recommender):
    shelf = {item: f"shelf {(item - 1000) // 10}" for item in shop.IDS}
    attributes = tmp_path / "items.csv"
    lines = [f"{item},{shelf[item]},true" for item in shop.IDS]
    attributes.write_text("\n".join(["id,shelf,in_stock", *lines]) + "\n")
    rules = tmp_path / "rules.json"
    rules.write_text('{"in stock": {"always": true, "where": {"in_stock": true}}}')
    given = {"names": names, "attributes": str(attributes), "rules": str(rules)}
    token = "open-sesame"
    with in_thread(model, token=token, **given) as running:
        page = open_page(running.url, "[1000,1001]", settle=False, allow="401")
        page.locator("#token-text").fill(token)
        page.get_by_role("button", name="Use it").click()
        settled(page)
        assert shown(page) == recommended(recommender, [1000, 1001])
        choice = page.get_by_label("shelf")
        choice.select_option("shelf 2")
        expect(page.locator("#best li")).to_have_count(8)
        settled(page)
        only = [item for item in shop.IDS if shelf[item] == "shelf 2"]
        before = shown(page)
        assert before == recommended(recommender, [1000, 1001], allow=only)
        assert json.loads(unquote(page.url.partition("where=")[2])) == {"shelf": "shelf 2"}

        gone = next(item for item in only if shop.NAMES[item] == before[0][0])
        put = {"ids": [gone], "columns": {"in_stock": [False]}}
        bearer = {"Authorization": f"Bearer {token}"}
        answer = running.ask("PUT", "/items/attributes", json=put, headers=bearer)
        assert answer.json() == {"updated": 1, "unknown": 0}
        page.reload()
        expect(choice).to_have_value("shelf 2")
        expect(page.locator("#best li")).to_have_count(7)
        settled(page)
        assert [name for name, _ in shown(page)] == [name for name, _ in before[1:]]

        page.get_by_label("in_stock").select_option("no")
        expect(page.locator("#remark")).to_have_text("No item has all that is chosen above.")
        page.get_by_label("in_stock").select_option("any")
        choice.select_option("any")
        expect(page.locator("#best li")).to_have_count(10)


def test_types_of_clicks(open_page, tmp_path):
    """A click has the type that is chosen for it: in the answer, explanation and address."""
    dataset = ClickLog(
        tmp_path,
        "trainval",
        path=write(log(sessions=60), tmp_path / "log.csv"),
        pauses="time",
        min_support=17,
        test=0.3,
        event="event",
        events=EVENTS,
    )
    folder = export(trained(dataset), tmp_path / "export", "torch_export")
    recommender = Recommender.load(folder)
    session = recommender.vocabulary.ids[:2]
    with in_thread(folder) as running:
        page = open_page(running.url, json.dumps(session))
        first, second = (page.get_by_label(f"Type of click {place}") for place in (1, 2))
        assert first.locator("option").all_inner_texts() == list(EVENTS)

        def items(*types):
            (best,) = recommender.recommend([Clicks(session, types)], 10)
            return [str(item) for item, _ in best]

        def names():
            settled(page)
            return page.locator("#best .names b").all_inner_texts()

        assert names() == items(None, None)
        second.focus()
        second.select_option("purchase")
        assert names() == items("view", "purchase") != items(None, None)
        expect(second).to_be_focused()
        assert json.loads(unquote(re.search("types=([^&]*)", page.url)[1])) == [None, "purchase"]
        added = recommender.explain(Clicks(session, [None, "purchase"])).added
        wanted = [("+" if one >= 0.005 else "") + f"{one:.2f}".replace("-", "−") for one in added]
        assert page.locator("#clicks .adds .value").all_inner_texts() == wanted
        page.reload()
        assert names() == items("view", "purchase")
        expect(second).to_have_value("purchase")
        second.select_option("view")
        assert names() == items(None, None)
        assert "types=" not in page.url
        page.get_by_role("button", name="Undo").click()
        assert names() == items(None, "purchase")


def test_a_session_made_by_mouse(open_page, service, recommender):
    page = open_page(service.url)
    expect(page.locator("#remark")).to_have_text("The most popular items: pick one to begin.")
    assert len(shown(page)) == 10 and page.locator("#picture").is_hidden()

    page.locator("#query").press_sequentially("sho")
    options = page.get_by_role("option")
    expect(options).to_have_count(3)
    options.filter(has_text="Trail shoe").click()
    settled(page)
    assert clicks(page) == ["Trail shoe"] and page.locator("#query").input_value() == ""
    assert shown(page) == recommended(recommender, [1000])

    before = [name for name, _ in shown(page)]
    page.locator("#best button").nth(1).click()  # what is recommended second goes on
    settled(page)
    second = next(item for item, name in shop.NAMES.items() if name == before[1])
    assert clicks(page) == ["Trail shoe", before[1]]
    assert shown(page) == recommended(recommender, [1000, second])
    for place, (name, _) in enumerate(shown(page)):
        was = before.index(name) - place if name in before else None
        moved = {None: "new", 0: ""}.get(was) or f"{'▲' if was > 0 else '▼'} {abs(was)}"
        moved = "" if was == 0 else moved
        assert page.locator("#best .moved").nth(place).inner_text() == moved

    page.get_by_label("without those of the session").check()
    settled(page)
    assert shown(page) == recommended(recommender, [1000, second], exclude_seen=True)
    page.get_by_label("Show").fill("3")
    page.get_by_label("Show").press("Enter")
    expect(page.locator("#best li")).to_have_count(3)

    page.get_by_role("button", name="Remove click 1, Trail shoe").click()
    settled(page)
    assert clicks(page) == [before[1]]
    page.get_by_role("button", name="Clear").click()
    settled(page)
    assert clicks(page) == [] and page.get_by_role("button", name="Clear").is_disabled()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Undo").click()
    settled(page)
    assert clicks(page) == ["Trail shoe", before[1]]


def test_graph_attention_and_what_a_click_adds(open_page, service, recommender):
    session = [1000, 1001, 1003, 1000, 1001, 1001, 1004]
    page = open_page(service.url, session)
    why = recommender.explain(session)
    numbers = [session.index(item) + 1 for item in why.nodes]
    drawn = page.locator("#graph .node text").all_text_contents()
    wanted = zip(numbers, why.nodes, strict=True)
    assert drawn == [f"{number}  {shop.NAMES[item]}" for number, item in wanted]
    assert page.locator("#graph .node.last title").text_content() == "Headlamp"
    edges = [
        f"{shop.NAMES[why.nodes[i]]} to {shop.NAMES[why.nodes[j]]}: {out:.2f} of the steps out, "
        f"{back:.2f} of the steps in"
        for (i, j), out, back in zip(why.edges, why.weights, why.weights_in, strict=True)
    ]
    assert page.locator("#graph .arrow title").all_text_contents() == edges
    assert page.locator("#graph li").all_text_contents() == edges
    weights = [f"{weight:.2f}" if weight < 1 else "1" for weight in why.weights]
    assert page.locator("#graph .weights text").all_text_contents() == weights

    def values(kind):
        texts = page.locator(f"#clicks .{kind} .value").all_inner_texts()
        return [float(text.replace("−", "-").lstrip("×")) for text in texts]

    assert values("attention") == pytest.approx(why.attention, abs=0.00501)
    factors = [math.exp(logarithm) for logarithm in why.added]
    assert values("adds") == pytest.approx(factors, abs=0.00501, rel=0.006)
    wide = page.locator("#clicks .attention i").evaluate_all(
        "bars => bars.map(bar => bar.getBoundingClientRect().width)"
    )
    lengths = [abs(weight) for weight in why.attention]
    assert [w / max(wide) for w in wide] == pytest.approx(
        [length / max(lengths) for length in lengths], abs=0.02
    )
    expect(page.locator("#measures")).to_contain_text(shop.NAMES[why.item])


def test_where_a_probability_comes_from(open_page, service, recommender):
    session = [1000, 77, 1001, 1003]  # one of them unknown
    page = open_page(service.url, session)
    best = [item for item, _ in recommender.answer([session], 10)[0].items]
    origins = recommender.explain(session, others=best).origins[1:]
    called = {"repeat": "repeat", "transitions": "transitions"}
    called |= {"model": "ids", "text_expert": "texts", "text_neighbours": "near texts"}
    legend = page.locator("#legend li")
    assert legend.all_inner_texts() == list(called.values())
    colours = legend.locator(".part").evaluate_all(
        "parts => parts.map(part => getComputedStyle(part).backgroundColor)"
    )
    assert len(set(colours)) == 5
    for place, origin in enumerate(origins):
        bar = page.locator("#best button").nth(place).get_by_role("img", include_hidden=True)
        told = [
            f"{name} {math.floor(100 * origin.shares[part] + 0.5)} %"
            for part, name in called.items()
            if origin.shares[part] >= 0.005
        ]
        assert bar.get_attribute("aria-label") == f"Comes from {', '.join(told)}"
        widths, seen = bar.locator(".part").evaluate_all(
            "parts => [parts.map(part => part.getBoundingClientRect().width),"
            " parts.map(part => getComputedStyle(part).backgroundColor)]"
        )
        wanted = [origin.shares[part] for part in called]
        assert [width / sum(widths) for width in widths] == pytest.approx(wanted, abs=0.02)
        assert seen == colours
    row = page.locator("#best button").first
    assert "Comes from" in row.evaluate("row => row.querySelector('[role=img]').ariaLabel")


def test_how_similar_the_texts_of_the_clicks_are(open_page, service, recommender):
    session = [1000, 77, 1001, 1003]
    page = open_page(service.url, session)
    best = [item for item, _ in recommender.answer([session], 10)[0].items]
    origins = recommender.explain(session, others=best).origins[1:]

    def compared(place):
        expect(page.locator("#measures")).to_contain_text(
            f"text to that of {shop.NAMES[best[place]]}: 1 is the same"
        )
        texts = page.locator("#clicks .text .value").all_inner_texts()
        assert [float(text.replace("−", "-")) for text in texts] == pytest.approx(
            origins[place].similarity, abs=0.00501
        )

    compared(0)
    page.locator("#best button").nth(4).hover()
    compared(4)
    page.locator("#best button").nth(6).focus()
    compared(6)
    page.locator("#best button").nth(5).hover()
    page.locator("#best button").nth(5).click()
    settled(page)
    expect(page.locator("#clicks .text")).to_have_count(4)


def test_a_model_that_mixes_nothing_has_no_legend(open_page, tmp_path):
    with in_thread(shop.untrained(tmp_path, shop.IDS)) as running:
        page = open_page(running.url, "[1000,1001]")
        assert page.locator("#legend").is_hidden() and page.locator(".origin").count() == 0
        assert page.locator("#clicks .text").count() == 0


def test_an_item_that_is_new_in_the_shop(open_page, model, names):
    """Added over HTTP, it is recommended on an open page within a second, and marked."""
    bearer = {"Authorization": "Bearer open-sesame"}
    with in_thread(model, names=names, token="open-sesame") as running:
        page = open_page(running.url, "[1000,1004]", settle=False, allow="401")
        page.locator("#token-text").fill("open-sesame")
        page.keyboard.press("Enter")
        settled(page)
        assert page.locator("#best .cold").count() == 0
        took = []
        for item, name in ((2002, "Headlamp case"), (2001, "Trail pole"), (2000, "Trail headlamp")):
            start = time.monotonic()
            added = running.post("/items/add", {"ids": [item], "texts": [name]}, headers=bearer)
            assert added.status_code == 200, added.text
            page.get_by_label("without those of the session").click()  # asks anew
            row = page.locator("#best button", has_text=name)
            expect(row.locator(".cold")).to_have_text("new item")
            took.append(time.monotonic() - start)
            settled(page)
        assert min(took) < 1  # the others, if the machine is busy
        bar = row.get_by_role("img", include_hidden=True)
        told = r"Comes from texts \d+ %, near texts \d+ %"
        assert re.fullmatch(told, bar.get_attribute("aria-label"))
        row.hover()
        expect(page.locator("#measures")).to_contain_text("text to that of Trail headlamp")
        texts = page.locator("#clicks .text .value").all_inner_texts()
        assert min(map(float, texts)) > 0.3  # a trail shoe, and a headlamp
        page.locator("#query").press_sequentially("trail h")
        expect(page.get_by_role("option")).to_have_text(["Trail headlamp2000"])
        page.keyboard.press("Enter")
        settled(page)
        assert clicks(page) == ["Trail shoe", "Headlamp", "Trail headlamp"]
        assert page.locator(".click.unknown").count() == 0


def test_scores_that_are_no_probabilities_are_called_scores(open_page, tmp_path):
    model = shop.untrained(tmp_path, shop.IDS)
    recommender = Recommender.load(model)
    why = recommender.explain([1000, 1001, 1003])
    with in_thread(model) as running:
        page = open_page(running.url)
        expect(page.locator("#meaning")).to_contain_text("share of the item in all clicks")
        page = open_page(running.url, "[1000,1001,1003]")
        expect(page.locator("#meaning")).to_contain_text("scores, not probabilities")
        (best,) = recommender.recommend([[1000, 1001, 1003]], k=10)
        assert shown(page) == [(str(item), f"{score:.3f}") for item, score in best]
        expect(page.locator("#measures")).to_contain_text("a negative weight subtracts it")
        expect(page.locator("#measures")).to_contain_text("“adds”")
        added = page.locator("#clicks .adds .value").all_inner_texts()
        assert [float(text.replace("−", "-")) for text in added] == pytest.approx(
            why.added, abs=0.00501
        )


def test_what_is_left_out_is_explained_of_the_first_item_shown(open_page, service, recommender):
    sessions = [[a, b, a] for a in shop.IDS[:8] for b in shop.IDS[:8]]
    best = zip(sessions, recommender.recommend(sessions, 1), strict=True)
    session = next(session for session, ((item, _),) in best if item in session)
    page = open_page(service.url, session)
    page.get_by_label("without those of the session").check()
    settled(page)
    best = recommended(recommender, session, exclude_seen=True)
    assert best[0] != recommended(recommender, session)[0]
    expect(page.locator("#measures")).to_contain_text(best[0][0])


def test_by_keyboard_alone(open_page, service):
    page = open_page(service.url)
    press = page.keyboard.press
    press("Tab")
    expect(page.locator("#query")).to_be_focused()
    page.keyboard.type("climb")
    option = page.get_by_role("option", name="Climbing shoe")
    expect(option).to_have_attribute("aria-selected", "true")
    active = page.locator("#query").get_attribute("aria-activedescendant")
    assert option.get_attribute("id") == active
    press("Escape")
    expect(page.locator("#options")).to_be_hidden()
    press("Enter")  # looks again
    expect(option).to_be_visible()
    press("Enter")
    settled(page)
    assert clicks(page) == ["Climbing shoe"]

    page.keyboard.type("ha")
    expect(page.get_by_role("option", name="Harness")).to_be_visible()
    second = page.get_by_role("option").last.locator("b").inner_text()
    press("ArrowUp")  # round to the last one
    press("Enter")
    settled(page)
    assert clicks(page) == ["Climbing shoe", second]

    page.keyboard.type("Rope")
    press("Enter")  # before anything has been found
    expect(page.locator("#clicks li")).to_have_count(3)
    settled(page)
    assert clicks(page)[2] == "Rope 60 m"

    for _ in range(3):
        press("Tab")  # over the buttons that remove a click
    expect(page.get_by_role("button", name="Remove click 3, Rope 60 m")).to_be_focused()
    press("Enter")
    settled(page)
    expect(page.get_by_role("button", name=f"Remove click 2, {second}")).to_be_focused()
    for _ in range(3):
        press("Tab")
    best = page.locator("#best button").first
    expect(best).to_be_focused()
    outline = best.evaluate(
        "e => getComputedStyle(e).outlineStyle + getComputedStyle(e).outlineWidth"
    )
    assert outline == "solid3px"
    name = best.locator("b").inner_text()
    press("Enter")
    settled(page)
    assert clicks(page) == ["Climbing shoe", second, name]
    expect(best).to_be_focused()  # and one can go on from there
    expect(page.get_by_role("status")).to_contain_text(
        f"After 3 clicks: 1. {shown(page)[0][0]}, 2. {shown(page)[1][0]}"
    )
    press("Control+z")
    settled(page)
    assert clicks(page) == ["Climbing shoe", second]
    page.locator("#query").focus()
    press("Backspace")
    settled(page)
    assert clicks(page) == ["Climbing shoe"]


def test_the_address_holds_the_view(open_page, service):
    page = open_page(service.url, "[1000,1001]&k=4&exclude_seen=true")
    assert clicks(page) == ["Trail shoe", "Running sock"] and len(shown(page)) == 4
    expect(page.get_by_label("without those of the session")).to_be_checked()
    page.locator("#best button").first.click()
    settled(page)
    other = open_page(service.url, page.url.partition("#items=")[2])
    assert (clicks(other), shown(other)) == (clicks(page), shown(page))
    page.evaluate("location.hash = '#items=[1010]'")
    expect(page.locator("#clicks b")).to_have_text("Two-person tent")
    for nonsense in ("[1.5]", "[[1]]", "{", "[true]&k=-3", "%00"):
        page.goto("about:blank")
        page.goto(f"{service.url}/#items={nonsense}")
        settled(page)
        assert clicks(page) == [] and len(shown(page)) == 10


def test_unknown_items(open_page, service):
    page = open_page(service.url)
    page.locator("#query").press_sequentially("77")
    expect(page.locator("#options")).to_contain_text("No item has this")
    page.keyboard.press("Enter")
    expect(page.locator("#remark")).to_contain_text("No item of the session is known")
    expect(page.locator(".click.unknown")).to_contain_text("unknown to the model")
    assert page.locator("#picture").is_hidden() and "#items=[77]" in page.url
    page.locator("#query").press_sequentially("Spork")
    expect(page.get_by_role("option")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator("#remark")).to_have_text(
        "One click is on an item unknown to the model, and left out."
    )
    settled(page)
    assert page.locator("#graph .node text").text_content() == "2  Spork"
    expect(page.locator("#clicks .attention")).to_have_count(1)


def test_names_and_ids_are_texts(open_page, tmp_path):
    model = shop.untrained(tmp_path, [EVIL, "a&b", "<b>bold</b>", '"', "snowman ☃"])
    names = tmp_path / "names.json"
    names.write_text(json.dumps({"a&b": EVIL, '"': "</script><script>alert(2)</script>"}))
    with in_thread(model, names=str(names)) as running:
        page = open_page(running.url)
        page.locator("#query").press_sequentially("<img")
        expect(page.get_by_role("option")).to_have_count(2)
        page.get_by_role("option").first.click()
        for _ in range(4):
            page.locator("#best button").last.click()
            settled(page)
        assert EVIL in clicks(page)
        ids = page.evaluate("JSON.parse(new URLSearchParams(location.hash.slice(1)).get('items'))")
        assert ids[0] == EVIL and len(ids) == 5
        assert page.locator("img, #best script, #clicks script, main b b").count() == 0
        page.reload()
        settled(page)
        assert clicks(page)[0] == EVIL


def test_ids_keep_all_their_digits(open_page, tmp_path):
    model = shop.untrained(tmp_path, [LARGE, LARGE + 1, 3])
    with in_thread(model) as running:
        page = open_page(running.url, f"[{LARGE + 1}]")
        assert clicks(page) == [str(LARGE + 1)]
        assert page.locator(".click.unknown").count() == 0
        page.locator("#query").press_sequentially(str(LARGE))
        expect(page.get_by_role("option")).to_have_count(1)
        page.keyboard.press("Enter")
        settled(page)
        assert f"#items=[{LARGE + 1},{LARGE}]" in page.url
        (best,) = Recommender.load(model).recommend([[LARGE + 1, LARGE]])
        assert [name for name, _ in shown(page)] == [str(item) for item, _ in best]


def test_a_late_answer_is_not_shown(open_page, service, recommender):
    page = open_page(service.url)
    held = service.server.config.app
    for event in (held.caught, held.answered, held.go):
        event.clear()
    held.wanted = True
    page.locator("#query").press_sequentially("1000")
    expect(page.get_by_role("option")).to_have_count(1)
    page.keyboard.press("Enter")
    assert held.caught.wait(10)
    page.locator("#query").press_sequentially("1033")
    expect(page.get_by_role("option")).to_have_count(1)
    page.keyboard.press("Enter")
    settled(page)
    assert shown(page) == recommended(recommender, [1000, 1033])
    held.go.set()
    assert held.answered.wait(10)
    page.evaluate("fetch('items?limit=1').then(answer => answer.json())")  # comes behind it
    page.wait_for_timeout(200)
    assert shown(page) == recommended(recommender, [1000, 1033])
    assert page.locator("#trouble").is_hidden()


def test_a_service_that_goes_away_and_comes_back(open_page, model, names):
    with in_thread(model, names=names) as running:
        page = open_page(running.url, "[1000]", allow="ERR_CONNECTION_REFUSED|status of 503")
    page.locator("#best button").first.click()
    expect(page.get_by_role("alert")).to_contain_text("The service cannot be reached")
    with in_thread(model, names=names, port=running.address[1]):
        expect(page.get_by_role("alert")).to_be_hidden()
        settled(page)
        assert len(clicks(page)) == 2
        assert page.locator("#graph .node").count() == 2


def test_a_token_is_asked_for_and_kept(open_page, model, names):
    with in_thread(model, names=names, token="open-sesame") as running:
        page = open_page(running.url, "[1000]", settle=False, allow="401")
        dialog = page.get_by_role("dialog")
        expect(dialog).to_be_visible()
        dialog.get_by_label("Token").fill("wrong-token")
        dialog.get_by_role("button", name="Use it").click()
        expect(dialog).to_contain_text("does not accept the token")
        dialog.get_by_label("Token").fill("open-sesame")
        page.keyboard.press("Enter")
        settled(page)
        assert clicks(page) == ["Trail shoe"] and len(shown(page)) == 10
        assert "sesame" not in page.url
        page.reload()  # it is not asked for again
        settled(page)
        expect(dialog).to_be_hidden()

        other = open_page(running.url, "[1000]", settle=False, allow="401")
        other.get_by_role("button", name="Cancel").click()
        expect(other.get_by_role("alert")).to_contain_text("asks for a token")


def test_a_refusal_is_told(open_page, model):
    with in_thread(model, max_clicks=3) as running:
        page = open_page(running.url, "[1000,1001,1002]", allow="422")
        page.locator("#best button").first.click()
        expect(page.get_by_role("alert")).to_contain_text("items: List should have at most 3")
        settled(page)
        page.get_by_role("button", name="Undo").click()
        settled(page)
        expect(page.get_by_role("alert")).to_be_hidden()
        assert page.locator("#graph .node").count() == 3


def test_a_mistake_of_the_page_is_told_and_not_repeated(open_page, service):
    page = open_page(service.url, "[1000]", allow="TypeError")
    asked = []
    page.on("request", lambda request: asked.append(urlsplit(request.url).path))
    page.evaluate("document.getElementById('remark').remove()")
    page.locator("#best button").first.click()
    expect(page.get_by_role("alert")).to_contain_text("This page has an error")
    settled(page)
    page.wait_for_timeout(700)  # the first further try would come after 500
    assert asked.count("/recommend") == 1


def test_another_catalogue_while_the_page_is_open(open_page, tmp_path):
    """As many clicks are unknown as before, but other ones."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
    model = shop.untrained(tmp_path / "old", shop.IDS)
    other = shop.untrained(tmp_path / "new", [77, *shop.IDS[1:]])
    session = [1000, 77, 1001]
    why = Recommender.load(other).explain(session)
    with in_thread(model, reload_seconds=0.1) as running:
        page = open_page(running.url, session)
        expect(page.locator(".click.unknown b")).to_have_text("77")
        os.replace(other, model)
        models = running.service.models
        eventually(lambda: 77 in models.current().recommender.vocabulary, "the new model")
        page.get_by_label("without those of the session").check()
        settled(page)
        expect(page.locator(".click.unknown b")).to_have_text("1000")
        values = page.locator("#clicks .attention .value").all_inner_texts()
        assert [float(value.replace("−", "-")) for value in values] == pytest.approx(
            why.attention, abs=0.00501
        )
        assert page.locator("#clicks .click:not(.unknown) .adds").count() == 2
        page.get_by_role("button", name="Remove click 3").click()
        settled(page)
        expect(page.locator(".click.unknown b")).to_have_text("1000")


def test_long_sessions_are_not_explained(open_page, service):
    page = open_page(service.url, [1000] * 201)
    expect(page.locator("#measures")).to_contain_text("up to 200 clicks")
    assert page.locator("#picture").is_hidden() and page.locator("#trouble").is_hidden()
    assert len(shown(page)) == 10
    page.get_by_role("button", name="Remove click 201,").click()
    settled(page)
    expect(page.locator("#graph .node")).to_have_count(1)


def test_types_that_come_late_change_nothing_that_is_said(open_page, service):
    page = open_page(service.url, [1000] * 201)
    held = []
    page.route("**/types", lambda route: held.append(route))
    page.reload()
    expect(page.locator("#measures")).to_contain_text("up to 200 clicks")
    held.pop().fulfill(json=["view", "buy"])
    expect(page.locator("#clicks select").first).to_be_visible()  # drawn with the types
    expect(page.locator("#measures")).to_contain_text("up to 200 clicks", timeout=1)


def test_on_a_phone(open_page, service):
    page = open_page(service.url, viewport={"width": 360, "height": 740}, has_touch=True)
    narrow = "() => document.documentElement.scrollWidth <= 360"
    assert page.evaluate(narrow)
    page.locator("#query").press_sequentially("a")
    expect(page.get_by_role("option").first).to_be_visible()
    assert page.evaluate(narrow)
    page.get_by_role("option").first.tap()
    settled(page)
    for _ in range(12):
        page.locator("#best button").nth(2).tap()
        settled(page)
        assert page.evaluate(narrow)
    box = page.locator("#graph svg").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 360
    clicked = page.locator("#clicks li").last.bounding_box()
    scrolled = page.locator("#clicks").bounding_box()
    assert clicked["y"] + clicked["height"] <= scrolled["y"] + scrolled["height"]  # the new one
    nodes = page.locator("#graph .node").evaluate_all(
        "nodes => nodes.map(n => n.getBoundingClientRect()).map(box => [box.left, box.right])"
    )
    assert all(left >= 0 and right <= 360 for left, right in nodes)


def test_long_ids_on_a_phone(open_page, tmp_path):
    ids = ["w" * 200, "item " * 40, "𝕴" * 50, "plain"]
    with in_thread(shop.untrained(tmp_path, ids)) as running:
        page = open_page(running.url, viewport={"width": 360, "height": 740})
        for place in range(4):
            page.locator("#best button").nth(place).click()
            settled(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360


CONTRAST = """() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    const rect = element.closest("g.node")?.querySelector("rect");
    if (rect) return channels(getComputedStyle(rect).fill);
    for (let e = element; e; e = e.parentElement) {
      const color = channels(getComputedStyle(e).backgroundColor);
      if (color.length === 3 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const texts = [...document.querySelectorAll("body *")].filter((e) =>
    e.checkVisibility() && !e.closest(":disabled") &&
    [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim() !== "") &&
    e.tagName !== "title");
  return texts.map((e) => {
    const style = getComputedStyle(e);
    const own = e.namespaceURI.endsWith("svg") ? style.fill : style.color;
    const [a, b] = [light(channels(own)), light(behind(e))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.tagName + " " + e.textContent];
  });
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(open_page, model, names, scheme):
    with in_thread(model, names=names) as running:
        running.service.models.current().add([2000], ["Trail headlamp"], None)
        page = open_page(running.url, "[1000,77,1001,1000]", color_scheme=scheme)
        page.locator("#best button").nth(4).click()
        settled(page)
        assert page.locator("#best .cold").count() == 1
        page.locator("#query").press_sequentially("s")
        expect(page.get_by_role("option")).to_have_count(8)
        found = page.evaluate(CONTRAST)
        assert len(found) > 40
        assert [pair for pair in found if pair[0] < 4.5] == []
        back = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", back))) < 3 * 64) is (scheme == "dark")


def test_every_endpoint_can_be_tried(open_page, model):
    with in_thread(model, token="open-sesame", sessions="memory") as running:
        page = open_page(running.url + "/docs", settle=False, allow="401|422")
        page.locator("#token-text").fill("open-sesame")
        page.get_by_role("button", name="Use it").click()
        endpoints = page.locator("details")
        bearer = {"Authorization": "Bearer open-sesame"}
        paths = running.get("/openapi.json", headers=bearer).json()["paths"]
        described = [(path, way) for path, ways in paths.items() for way in ways]
        expect(endpoints).to_have_count(len(described))
        answers = {}
        for number, (path, way) in enumerate(described):
            endpoint = endpoints.nth(number)
            endpoint.locator("summary").click()
            assert path in endpoint.locator("summary").inner_text()
            endpoint.get_by_role("button", name="Send").click()
            answer = endpoint.locator("[aria-live]")
            known = path == "/items/add"  # the example's item, and this model has texts
            expect(answer.locator("h3")).to_have_text("422" if known else "200")
            answers[path, way] = answer.locator("pre").last.inner_text()
        assert "already: 10" in json.loads(answers["/items/add", "post"])["detail"]
        assert len(json.loads(answers["/recommend", "post"])["items"]) == 20
        assert json.loads(answers["/sessions/{id}", "delete"]) == {"deleted": True}
        assert "srgnn_ready 1.0" in answers["/metrics", "get"]
        asking = endpoints.first
        asking.locator("textarea").fill(json.dumps({"items": [LARGE, 1]}))
        asking.get_by_role("button", name="Send").click()
        expect(asking.locator("[aria-live] pre").last).to_contain_text('"unknown": 2')
        expect(asking.locator("[aria-live] pre").first).to_contain_text(str(LARGE))
        asking.locator("textarea").fill("{")
        asking.get_by_role("button", name="Send").click()
        expect(asking.locator("[aria-live]")).to_have_text("This body is not JSON.")


def test_screenshot(open_page, model, names, tmp_path):
    with in_thread(model, names=names) as running:
        running.service.models.current().add([2000], ["Trail headlamp"], None)
        page = open_page(running.url, "[1000,1001,1003]", device_scale_factor=1.5)
        page.get_by_role("button", name=re.compile("Headlamp 1004")).click()
        settled(page)
        page.evaluate("document.activeElement.blur()")
        page.locator("#best button", has_text="Trail headlamp").hover()
        path = os.environ.get("SRGNN_SCREENSHOT") or tmp_path / "page.png"
        picture = page.screenshot(path=path, full_page=True, animations="disabled")
        assert picture.startswith(b"\x89PNG")


def test_the_page_shows_the_share_of_an_ab_test(model, names, service, open_page):
    """Which model answers, and the share; the same one with every click, until it is cleared."""
    with in_thread(model, names=names, challenger=str(model), share=0.25) as running:
        page = open_page(running.url, items="[1000]")
        words = page.locator("#experiment")
        expect(words).to_have_text(re.compile(r"model [AB] answers this session.* 25 % of"))
        first = words.inner_text()
        page.locator("#best button").first.click()
        settled(page)
        assert words.inner_text() == first
        seen = set()
        for _ in range(40):  # that all are of one model has a chance of 0.00001
            page.locator("#clear").click(force=True)
            page.locator("#best button").first.click()
            settled(page)
            seen.add(re.search("model ([AB])", words.inner_text())[1])
            if seen == {"A", "B"}:
                break
        assert seen == {"A", "B"}
    alone = open_page(service.url, items="[1000]")
    expect(alone.locator("#experiment")).to_be_hidden()
