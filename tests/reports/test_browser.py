"""The page in a real browser: on a desk and a phone, by day and by night, on paper, and for those who can't see it."""

import copy
import os
import shutil

import pytest

from keeprate.reports.pages import render

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

WIDTHS = (1280, 390)  # pixels: a desk and a phone
TALLEST = 5000  # pixels of a page that is opened on a desk


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        sandbox = [] if os.getuid() else ["--no-sandbox"]  # it has none for root
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=sandbox)
        yield started
        started.close()


@pytest.fixture(params=["turned", "edge", "gated"])
def path(documents, gated, request, tmp_path):
    document = copy.deepcopy({**documents, "gated": gated}[request.param])
    document["reference"]["failures"] = ["a/" + "name_without_a_place_to_break" * 5]
    pages = render(document, documents["faithful"] if request.param == "turned" else None)
    (tmp_path / "index.html").write_text(pages["index.html"], encoding="utf-8")
    return tmp_path / "index.html"


@pytest.fixture
def opened(browser, path):
    """The page at a width, in a scheme; what it asked for and complained of. Scripts are off, as in CI's viewers."""
    contexts = []

    def open_(width=1280, scheme="light", *, scripts=False):
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,
            java_script_enabled=scripts,
            bypass_csp=scripts,
        )
        contexts.append(context)
        page = context.new_page()
        page.asked, page.said = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda message: page.said.append(message.text))
        page.on("pageerror", lambda error: page.said.append(str(error)))
        page.goto(path.as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_opens_without_a_complaint_or_a_request(opened, path, width, scheme):
    page = opened(width, scheme)
    assert page.locator("h1").is_visible()
    assert page.asked == [path.as_uri()]
    assert page.said == []
    pictures = os.environ.get("KEEPRATE_PICTURES")  # a folder, for those who want to look themselves
    if pictures:
        page.screenshot(path=f"{pictures}/{path.parent.name}-{width}-{scheme}.png", full_page=True)


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_sticks_out_of_the_screen(opened, width):
    page = opened(width, scripts=True)
    page.evaluate("document.querySelectorAll('details').forEach(item => { item.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width > min(WIDTHS):
        return
    sideways = "[...document.querySelectorAll('.wide')].filter(it => it.scrollWidth > it.clientWidth + 1).length"
    assert page.evaluate(sideways) == 0


def test_a_page_of_one_fault_is_soon_read(opened):
    page = opened(scripts=True)
    assert page.evaluate("document.documentElement.scrollHeight") <= TALLEST


def test_the_answer_and_what_broke_are_on_the_first_screen(opened):
    page = opened()
    for where in ("h1", ".facts", "#broken h2"):
        box = page.locator(where).first.bounding_box()
        assert box["y"] + box["height"] <= 900, where


def test_light_and_dark_differ_and_both_can_be_read(opened):
    colours = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    light, dark = (opened(scheme=scheme, scripts=True).evaluate(colours) for scheme in ("light", "dark"))
    assert light[0] != dark[0] and light[1] != dark[1]


# Colours follow from the scheme, and what is where from the width: each of both is looked at once.
@pytest.mark.parametrize(("width", "scheme"), [*zip(WIDTHS, ["light", "dark"], strict=True)])
def test_axe_finds_no_serious_violation(opened, width, scheme):
    page = opened(width, scheme, scripts=True)
    page.evaluate("document.querySelectorAll('details').forEach(item => { item.open = true; })")
    found = axe.Axe().run(page).response
    assert len(found["passes"]) > 10  # rules that had something to look at
    serious = [item for item in found["violations"] if item["impact"] in ("serious", "critical")]
    assert not serious, [(item["id"], [node["html"][:200] for node in item["nodes"][:3]]) for item in serious]


def test_a_cell_of_the_matrix_leads_to_its_findings(opened):
    page = opened()
    cell = page.locator(".matrix a").first
    target = cell.get_attribute("href")
    cell.click()
    assert page.url.endswith(target)
    shown = page.locator(f"details:has([id='{target.removeprefix('#')}'])")
    assert shown.last.locator(".rows").is_visible()  # opened by the link alone, and what is around it
    assert not page.locator("details:not(:has(:target)) > div > .rows").first.is_visible()


def test_a_picture_is_as_large_as_it_can_be_seen(opened, path):
    if "A mask of this backend" not in path.read_text(encoding="utf-8"):
        assert opened(WIDTHS[0]).locator(".masks").count() == 0
        return
    for width in WIDTHS:
        mine, beside = opened(width).locator(".masks").first.locator("svg").all()
        for box in (mine.bounding_box(), beside.bounding_box()):
            assert 250 < box["width"] <= 330 and 100 < box["height"] < 200


def test_it_prints_on_paper(opened, tmp_path):
    page = opened()
    page.emulate_media(media="print")
    every, worth = page.locator("section > details"), page.locator("details.worth > div > .rows")
    assert all(summary.is_visible() for summary in every.locator("> summary").all())
    assert worth.count() and all(rows.is_visible() for rows in worth.all())
    page.pdf(path=tmp_path / "page.pdf", format="A4")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
