"""The page in a real headless browser, opened from disk."""

import shutil

import pytest

from abcgrpo import Boundaries
from abcgrpo.curves import rule_curve
from abcgrpo.files import json_line, plain
from abcgrpo.report.content.summary import summarize
from abcgrpo.report.drawing.panels import panels
from abcgrpo.report.page.render import page as written_page
from abcgrpo.report.reading.records import load
from tests.report.experiments import comparison, evaluation, ladder, response, run, specification

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ATTACK = "</script><script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">"
PATIENCE = 120_000
"""Milliseconds: a loaded machine may take its time."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A page with everything on it: two arms of two seeds, two benchmarks, comparisons, rules, hostile answers."""
    directory = tmp_path_factory.mktemp("report") / "study"
    names = ["countdown", "amc23"]
    specification(directory, seeds=[0, 1])
    for benchmark in names:
        evaluation(directory / "base" / "evaluation" / "model" / benchmark, [0, 1, 2])
    for seed in (0, 1):
        run(directory, entropy=3.0 + seed, correct=[1, 2, 3], seed=seed, benchmarks=names, text=ATTACK)
        run(directory, entropy=6.0 + seed, correct=[2, 2, 3], arm="ABC-GRPO", seed=seed, benchmarks=names, text=ATTACK)
    for arm in ("GRPO", "ABC-GRPO"):
        recorded = [response(1, "1+1", -0.5, [0, 4, 3]), response(2, ATTACK, 0.5, [1, 0])]
        recorded[1]["tokens"][0] = ATTACK
        path = directory / "arms" / arm / "seed-0" / "training" / "tokens.jsonl"
        path.write_text("".join(map(json_line, recorded)))
    summary = plain(summarize(load([directory])))
    summary["comparisons"] = [
        comparison("ABC-GRPO", benchmark, metric, 0.05, "inconclusive")
        for benchmark in names
        for metric in ("avg@2", "pass@2")
    ]
    summary["verdict"] = ["Inconclusive.", f"Hostile: {ATTACK}"]
    curves = plain({"GRPO": rule_curve(Boundaries.grpo(0.2)), "ABC-GRPO": rule_curve(Boundaries())})
    drawn = panels(summary, curves)
    file = directory.parent / "report.html"
    file.write_text(written_page(summary, drawn))
    return file, drawn


@pytest.fixture(scope="module")
def browser():
    """A browser process with a profile of its own."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=PATIENCE)
        yield opened
        opened.close()


class Opened:
    """The page, and what happened while it was open."""

    def __init__(self, browser, file, width=1280, scheme="light"):
        self.complaints, self.requests = [], []
        self.page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("body[data-drawn]")

    def drawn(self, name):
        """The colours of the marks of arms in a figure."""
        marks = self.page.locator(f"#figure-{name} .mark-line path, #figure-{name} .mark-rect path")
        return set(
            marks.evaluate_all("all => all.map(mark => mark.getAttribute('stroke') ?? mark.getAttribute('fill'))")
        )

    def settle(self):
        """Wait for the figures to follow the last click."""
        self.page.wait_for_timeout(500)


@pytest.fixture
def opened(browser, report):
    """The page at desktop width."""
    opened = Opened(browser, report[0])
    yield opened
    opened.page.close()


BLUE, VERMILION = "#0072B2", "#D55E00"


def test_every_panel_is_drawn_without_a_complaint_or_a_request(opened, report):
    assert opened.complaints == []
    assert opened.requests == [report[0].as_uri()]
    assert len(report[1]) >= 14
    for panel in report[1]:
        box = opened.page.locator(f"#figure-{panel.name} svg").bounding_box()
        assert box["width"] > 250, panel.name
        assert box["height"] > 150, panel.name
        marks = opened.page.locator(f"#figure-{panel.name} svg .role-mark path").count()
        assert marks > 1, panel.name
    assert opened.drawn("entropy") == opened.drawn("clip_events") == {BLUE, VERMILION}


def test_buttons_take_arms_out_by_pointer_and_by_keyboard(opened):
    button = opened.page.get_by_role("button", name="ABC-GRPO", exact=True)
    button.click()
    opened.page.wait_for_function("!document.querySelector('#figure-entropy .mark-line path[stroke=\"#D55E00\"]')")
    assert button.get_attribute("aria-pressed") == "false"
    assert opened.drawn("entropy") == opened.drawn("clip_events") == {BLUE}
    button.focus()
    opened.page.keyboard.press("Space")
    opened.page.wait_for_selector('#figure-entropy .mark-line path[stroke="#D55E00"]', state="attached")
    assert button.get_attribute("aria-pressed") == "true"
    assert opened.drawn("clip_events") == {BLUE, VERMILION}
    assert opened.complaints == []


def test_the_legend_takes_arms_out(opened):
    opened.page.locator("#figure-reward .role-legend-label text", has_text="ABC-GRPO").click()
    opened.page.wait_for_function("!document.querySelector('#figure-entropy .mark-line path[stroke=\"#D55E00\"]')")
    assert opened.drawn("reward") == {BLUE}
    assert opened.page.get_by_role("button", name="ABC-GRPO", exact=True).get_attribute("aria-pressed") == "false"


def test_zooming_by_buttons(opened):
    whole = opened.page.evaluate("views.entropy.scale('x').domain()")
    opened.page.get_by_role("group", name="Zoom of Entropy").get_by_role("button", name="Zoom in").press("Enter")
    opened.settle()
    low, high = opened.page.evaluate("views.entropy.scale('x').domain()")
    assert (low, high) == (pytest.approx(1.5), pytest.approx(2.5))
    opened.page.get_by_role("group", name="Zoom of Entropy").get_by_role("button", name="whole").click()
    opened.settle()
    assert opened.page.evaluate("views.entropy.scale('x').domain()") == whole


def test_hovering_tells_the_value(opened):
    opened.page.locator("#figure-clip_events .mark-rect path").first.hover()
    opened.page.wait_for_selector("#vg-tooltip-element.visible")
    text = opened.page.locator("#vg-tooltip-element").inner_text()
    assert "GRPO" in text
    assert "%" in text


def test_markup_in_answers_is_shown_and_not_run(opened):
    assert opened.page.title() == "study · abcgrpo report"
    grpo = opened.page.locator("#samples article").nth(1)  # after the base
    shown = grpo.locator("pre").first.inner_text()
    assert shown == ATTACK
    assert ATTACK in opened.page.locator("#verdict").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling(browser, report, scheme):
    opened = Opened(browser, report[0], width=390, scheme=scheme)
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 390
    for panel in report[1]:
        assert opened.page.locator(f"#figure-{panel.name} svg").bounding_box()["width"] <= 390
    assert opened.complaints == []
    opened.page.close()


def luminance(colour: str) -> float:
    """Relative luminance (WCAG) of an `rgb(…)` colour."""
    parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_lines_stand_out_in_both_schemes(browser, report, scheme):
    opened = Opened(browser, report[0], scheme=scheme)
    read = "element => getComputedStyle(element)."
    ground = luminance(opened.page.locator("figure").first.evaluate(read + "backgroundColor"))
    label = luminance(opened.page.locator("#figure-entropy .role-axis-label text").first.evaluate(read + "fill"))
    lines = [luminance(f"rgb{tuple(bytes.fromhex(colour[1:]))}") for colour in (BLUE, VERMILION)]

    def contrast(one: float, other: float) -> float:
        return (max(one, other) + 0.05) / (min(one, other) + 0.05)

    assert (ground > 0.5) == (scheme == "light")
    assert contrast(label, ground) >= 7
    assert all(contrast(line, ground) >= 3 for line in lines)
    opened.page.close()


@pytest.fixture(scope="module")
def climbed(tmp_path_factory):
    """The page of an experiment with conditions and shadow rules."""
    base = tmp_path_factory.mktemp("ladder")
    ladder(base / "ladder", steps=8)
    records = load([base / "ladder"])
    summary = plain(summarize(records))
    file = base / "report.html"
    file.write_text(written_page(summary, panels(summary, {})))
    return file


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_when_the_rule_matters_is_on_the_first_screen(browser, climbed, width, scheme):
    opened = Opened(browser, climbed, width, scheme)
    assert opened.complaints == []
    lead = opened.page.locator("#conditions .lead")
    assert lead.inner_text() == "The rule matters under 16 mini-batches."
    assert lead.bounding_box()["y"] < 600
    cells = opened.page.locator("table.conditions").first.locator("tbody td")
    assert [each.get_attribute("class") for each in cells.all()] == [
        "inconclusive", "inconclusive", "better", "inconclusive", "inconclusive", "worse"
    ]  # fmt: skip
    word = cells.nth(2).locator(".word")
    assert word.inner_text() == "better"
    box = word.bounding_box()
    assert 0 <= box["x"] <= box["x"] + box["width"] <= width
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    opened.page.close()


def test_shadow_rules_are_shown_of_the_runs_that_are_chosen(browser, climbed):
    opened = Opened(browser, climbed)
    assert opened.complaints == []
    shown = opened.page.locator("[data-measured-in]:visible")
    assert shown.get_attribute("data-measured-in") == "open, 16 mini-batches"
    matrix = opened.page.locator("#figure-rule_distances .mark-text.role-mark text")
    before = matrix.all_text_contents()
    assert len(before) == 6  # three rules, without the diagonal
    opened.page.locator("[data-measured]").select_option("GRPO, 1 mini-batch")
    opened.settle()
    assert shown.get_attribute("data-measured-in") == "GRPO, 1 mini-batch"
    assert matrix.all_text_contents() == ["0"] * 6
    assert before != ["0"] * 6
    for place in ("all", "q1", "q2", "q3", "q4"):
        assert opened.page.locator(f"#figure-removed_mass_{place} .mark-line path").count() == 3
    opened.page.get_by_role("button", name="GRPO, 1 mini-batch", exact=True).click()  # figures of rules have no arms
    opened.settle()
    assert opened.complaints == []
    opened.page.close()


def test_the_contents_lead_to_every_section(opened):
    anchors = opened.page.locator("nav a").evaluate_all("all => all.map(each => each.getAttribute('href'))")
    titled = opened.page.locator("main > section").evaluate_all("all => all.map(each => '#' + each.id)")
    assert anchors == [each for each in titled if each != "#missing"]
    opened.page.locator("nav a", has_text="Answers").click()
    assert opened.page.locator("#samples h2").bounding_box()["y"] < 900
    assert opened.page.locator("dl.about").inner_text().replace("\n", " ").endswith("seeds 0, 1")


def test_on_a_phone_a_comparison_shows_difference_and_verdict(browser, report):
    opened = Opened(browser, report[0], width=390)
    row = opened.page.locator("#comparison table.comparisons").first.locator("tbody tr").first
    for part in (row.locator("td.main").nth(1), row.locator(".badge")):
        box = part.bounding_box()
        assert 0 <= box["x"] <= box["x"] + box["width"] <= 390
    assert "+5.0" in row.inner_text()
    assert "inconclusive" in row.inner_text()
    opened.page.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_tokens_are_coloured_and_say_what_they_are(browser, report, width, scheme):
    opened = Opened(browser, report[0], width, scheme)
    read = "each => getComputedStyle(each).backgroundColor"
    failed, right = (opened.page.locator("#tokens p.tokens").nth(at) for at in (0, 1))
    punished, plain_token = failed.locator("span").nth(1), failed.locator("span").nth(0)
    red, blue = punished.evaluate(read), right.locator("span").nth(1).evaluate(read)
    assert red.startswith("rgba(213, 94, 0")
    assert blue.startswith("rgba(0, 114, 178")
    assert plain_token.evaluate(read) == red  # every token of a failed answer alike: figure 1 of the paper
    assert punished.evaluate("each => getComputedStyle(each).borderBottomColor") == "rgb(213, 94, 0)"
    assert "over" in punished.get_attribute("class")
    assert right.locator("span").first.inner_text() == ATTACK  # shown, not run
    punished.click()
    says = opened.page.locator(".token-says")
    assert says.inner_text().startswith("“t1”: Â −0.5, r 1.3, clip event of Q4")
    box = says.bounding_box()
    assert 0 <= box["y"] <= 900 - box["height"] + 1
    failed.press("ArrowRight")
    assert says.inner_text().startswith("“t2”: Â −0.5, r 0.7, clip event of Q3, the rule changed its weight")
    opened.page.get_by_role("button", name="by clip quadrant").click()
    assert punished.evaluate(read).startswith("rgba(213, 94, 0, 0.4")
    assert plain_token.evaluate(read) == "rgba(0, 0, 0, 0)"
    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.complaints == []
    opened.page.close()
