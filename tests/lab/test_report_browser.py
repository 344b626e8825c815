"""The page in a real browser: it draws, stays silent, asks no network, and fits a phone."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.lab.synthetic import make_study

from optimand.lab.report import write_claims_page, write_page
from optimand.lab.reproduce import Reproduced
from optimand.papers import get_paper

pytestmark = pytest.mark.browser

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
CHROMEDRIVER = os.environ.get("CHROMEDRIVER", "/usr/bin/chromedriver")
EVIL = "</script><img src=x onerror=window.broken=1>"
DESKTOP, PHONE = (1280, 900), (390, 844)


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    for program in (CHROMIUM, CHROMEDRIVER):
        if shutil.which(program) is None:
            pytest.skip(f"no browser: {program} is not there (Debian: apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMEDRIVER))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    bad = {("byte-lm", "sgd", 1): "diverged"}
    methods = ("adamw", "sgd", "lion-with-a-rather-long-name-that-goes-on-and-on", "evil")
    results = make_study(folder, methods=methods, tune=4, bad=bad, labels={"evil": EVIL})
    return write_page(results, folder / "report.html")


def visit(browser: Any, page: Path, size: tuple[int, int] = DESKTOP, scheme: str = "light") -> None:
    """Open the page from disk and wait until its charts are drawn."""
    browser.get_log("browser")
    browser.get_log("performance")
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    browser.get(page.as_uri())
    wait(browser, "document.documentElement.dataset.drawn !== undefined")


def wait(browser: Any, condition: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not browser.execute_script(f"return {condition}"):
        assert time.monotonic() < deadline, f"never true: {condition}; {browser.get_log('browser')}"
        time.sleep(0.05)


def marks(browser: Any) -> list[int]:
    """Number of drawn marks (lines, areas, points, bars) of each chart."""
    script = """
        return [...document.querySelectorAll('figure.chart')].map((figure) =>
          figure.querySelectorAll('svg .role-mark path[d], svg .role-mark text, svg .role-mark line').length)
    """
    return browser.execute_script(script)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_page_draws_every_chart_without_a_word_on_the_console(browser, page, size, scheme):
    visit(browser, page, size, scheme)
    drawn = marks(browser)
    assert len(drawn) == 11
    assert min(drawn) >= 3
    assert browser.get_log("browser") == []


def test_pictures_of_runs_are_drawn_and_the_switch_shows_another_method(browser, tmp_path):
    results = make_study(
        tmp_path, problems=("digits-mlp",), methods=("adamw", "evil"), labels={"evil": EVIL}, pictures=True
    )
    visit(browser, write_page(results, tmp_path / "report.html"))
    boxes = (
        "[...document.querySelectorAll('figure.chart')].find(f => f.querySelector('h4').textContent == 'Memory layout')"
    )
    assert browser.execute_script(f"return {boxes}.querySelectorAll('.mark-rect path').length") == 6
    shown = browser.execute_script(f"return {boxes}.querySelector('.mark-rect path').getAttribute('aria-label')")
    browser.execute_script(f"{boxes}.querySelectorAll('.switch button')[1].click()")
    other = f"{boxes}.querySelector('.mark-rect path')?.getAttribute('aria-label')"
    wait(browser, f"{other} !== undefined && {other} !== {shown!r}")
    assert min(marks(browser)) >= 3
    assert browser.get_log("browser") == []


def test_page_asks_for_nothing_but_itself(browser, page):
    visit(browser, page)
    sent = [
        entry["message"]
        for entry in browser.get_log("performance")
        if '"Network.requestWillBeSent"' in entry["message"]
    ]
    urls = [url for url in (message.split('"url":"', 1)[1].split('"', 1)[0] for message in sent) if url != "data:,"]
    assert urls == [page.as_uri()]


@pytest.mark.parametrize("width", [320, 390, 768])
def test_page_never_scrolls_sideways(browser, page, width):
    visit(browser, page, (width, 844))
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    rights = """
        return [...document.querySelectorAll('figure.chart svg')].map((s) => s.getBoundingClientRect().right)
    """
    assert max(browser.execute_script(rights)) <= width


def test_labels_do_not_run_as_code(browser, page):
    visit(browser, page)
    assert browser.execute_script("return window.broken") is None
    texts = browser.execute_script(
        "return [...document.querySelectorAll('.legend button')].map(b => b.textContent.trim())"
    )
    assert EVIL in texts


def test_tooltip_shows_a_label_as_text(browser, page):
    chains = pytest.importorskip("selenium.webdriver.common.action_chains")
    visit(browser, page)
    find = """
        const titled = (figure) => figure.querySelector('h4').textContent === 'What it costs';
        const figure = [...document.querySelectorAll('figure.chart')].find(titled);
        figure.scrollIntoView({block: 'center', behavior: 'instant'});
        return [...figure.querySelectorAll('.mark-symbol path')];
    """
    seen = []
    for point in browser.execute_script(find):
        chains.ActionChains(browser).move_to_element(point).pause(0.2).perform()
        seen.append(browser.execute_script("return document.querySelector('#vg-tooltip-element')?.textContent ?? ''"))
    assert len(seen) == 4
    assert any(EVIL in text for text in seen)
    assert browser.execute_script("return window.broken") is None


def test_picking_a_method_makes_the_others_pale_everywhere(browser, page):
    visit(browser, page)
    line = """
        const titled = (figure) => figure.querySelector('h4').textContent === 'Learning curves';
        const figure = [...document.querySelectorAll('figure.chart')].find(titled);
        return [...figure.querySelectorAll('.mark-line path')].map((p) => Number(p.getAttribute('opacity') ?? 1));
    """
    assert set(browser.execute_script(line)) == {1}
    browser.execute_script("document.querySelector('.legend button[data-method=adamw]').click()")
    wait(browser, "document.querySelector('tr[data-method=sgd]').classList.contains('pale')")
    wait(
        browser,
        "[...document.querySelectorAll('.mark-line path')].some((p) => Number(p.getAttribute('opacity')) < 0.5)",
    )
    assert sorted(browser.execute_script(line)).count(1) == 1
    assert browser.execute_script("return document.querySelectorAll('tr.pale[data-method=adamw]').length") == 0


def test_every_switch_redraws_its_chart(browser, page):
    visit(browser, page)
    count = browser.execute_script("return document.querySelectorAll('.switch button').length")
    assert count > 10
    for i in range(count):
        script = """
            const button = document.querySelectorAll('.switch button')[arguments[0]];
            button.click();
            return button.getAttribute('aria-pressed');
        """
        assert browser.execute_script(script, i) == "true"
    time.sleep(0.5)
    assert min(marks(browser)) >= 1
    # A zoom may leave a layer without rows, of which Vega warns; errors are what must not be.
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def test_seconds_are_put_on_the_horizontal_axis(browser, page):
    visit(browser, page)
    find = "[...document.querySelectorAll('.switch button')].find(b => b.textContent === 'seconds')"
    # Only what is drawn: the specifications in the page hold the words from the start.
    titled = "[...document.querySelectorAll('svg text')].some(t => t.textContent === 'seconds charged to the method')"
    assert not browser.execute_script(f"return {titled}")
    browser.execute_script(f"{find}.click()")
    wait(browser, titled)
    assert browser.execute_script(f"return {titled}")


@pytest.mark.parametrize(
    "shape",
    [
        {"methods": ("adamw",), "seeds": 1},
        {
            "methods": ("adamw", "sgd"),
            "bad": {("digits-mlp", m, s): "diverged" for m in ("adamw", "sgd") for s in range(3)},
        },
        {"methods": tuple(f"method-{i}" for i in range(20)), "seeds": 2, "tune": 3},
    ],
    ids=["one run", "all diverged", "twenty methods"],
)
def test_odd_studies_draw_without_a_word_on_the_console(browser, shape, tmp_path):
    results = make_study(tmp_path, problems=("digits-mlp",), **shape)
    visit(browser, write_page(results, tmp_path / "report.html"), PHONE)
    assert min(marks(browser)) >= 1
    assert browser.get_log("browser") == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]


def test_claims_page_draws_on_a_phone(browser, tmp_path):
    claim = Reproduced("a", "b", "1", "2", "holds", "", "study")
    study = make_study(tmp_path, problems=("digits-mlp",), seeds=2)
    visit(browser, write_claims_page(get_paper("exadam"), [claim], [("s", study)], tmp_path / "claims.html"), PHONE)
    assert min(marks(browser)) >= 3
    assert browser.get_log("browser") == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= PHONE[0]
