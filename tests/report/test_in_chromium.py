"""The page in a real browser: it draws, filters, sorts, obeys the keyboard, runs nothing foreign, fetches nothing."""

from __future__ import annotations

import base64
import io
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from neuroflow.adapters.key_figures import RegionMeans
from neuroflow.domain import SessionStatus
from neuroflow.orchestrator.standing import Kind
from neuroflow.report.anonymous import anonymous
from neuroflow.report.judgement import Verdict
from tests.report import made_up
from tests.report.test_page import HOSTILE

WAIT_SECONDS = 60
ROW = "#matrix tbody:not(.space) tr"


class Page:
    """A page in the browser, and what a person sees and does there."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path, fragment: str = "") -> None:
        """Open a page, and wait until it has drawn itself."""
        self.driver.get("about:blank")  # else a new fragment alone would load nothing
        self.driver.get_log("browser")
        self.driver.get_log("performance")
        self.driver.get(path.as_uri() + fragment)
        self.wait("return document.documentElement.dataset.ready")

    def js(self, script: str, *arguments: Any) -> Any:
        """Run a script and return its value."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, script: str) -> Any:
        """Wait until a script returns something true."""
        from selenium.webdriver.support.wait import WebDriverWait

        return WebDriverWait(self.driver, WAIT_SECONDS, poll_frequency=0.02).until(lambda _: self.js(script))

    def text(self, selector: str) -> str:
        """Return the text that an element shows."""
        return str(self.js("return document.querySelector(arguments[0]).innerText", selector))

    def rows(self) -> list[list[str]]:
        """Return the texts of the rows that exist."""
        of_cell = "cell => cell.querySelector('.word')?.textContent ?? cell.textContent"
        return list(
            self.js(f"return [...document.querySelectorAll('{ROW}')].map(row => [...row.cells].map({of_cell}))")
        )

    def choose(self, selector: str, value: str) -> None:
        """Choose an option as a person does."""
        from selenium.webdriver.support.select import Select

        Select(self.driver.find_element("css selector", selector)).select_by_value(value)

    def click(self, selector: str) -> None:
        """Click at an element."""
        self.driver.find_element("css selector", selector).click()

    def keys(self, *keys: str) -> None:
        """Press keys, wherever the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains

        actions = ActionChains(self.driver)
        for key in keys:
            actions.send_keys(key)
        actions.perform()

    def focused(self) -> str:
        """Return the text of what has the focus."""
        return str(self.js("return document.activeElement.textContent"))

    def screen(self, width: int, height: int, *, scheme: str = "light") -> None:
        """Set the size of the window and the colour scheme."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        wishes = {"prefers-color-scheme": scheme, "prefers-reduced-motion": "reduce"}
        features = [{"name": name, "value": value} for name, value in wishes.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def complaints(self) -> list[str]:
        """Return what the console has."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Return the addresses that were asked for."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [one["params"]["request"]["url"] for one in events if one["method"] == "Network.requestWillBeSent"]


@pytest.fixture
def page(chromium: Any) -> Page:
    page = Page(chromium)
    page.screen(1280, 900)
    return page


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 300 sessions."""
    return made_up.page(tmp_path_factory.mktemp("small") / "report.html", made_up.report(made_up.cohort(300)))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 3,000 sessions."""
    return made_up.page(tmp_path_factory.mktemp("large") / "report.html", made_up.report(made_up.cohort(3000)))


def test_it_loads_without_a_complaint_and_asks_for_itself_alone(page: Page, small: Path) -> None:
    page.open(small)
    assert page.text("h1") == "Made-up cohort"
    assert page.complaints() == []
    assert page.requests() == [small.as_uri()]
    assert not re.search(r"\b(null|undefined|NaN|object)\b", page.text("body"))
    sections = page.js("return [...document.querySelectorAll('h2')].map(h => h.textContent)")
    assert sections == ["Overview", "Cohort", "Failures", "Over time", "Time and memory", "Key figures", "Provenance"]


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """A server of this machine, and what it is asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_its_policy_lets_nothing_be_fetched_even_by_its_own_script(
    page: Page, small: Path, listener: tuple[str, list[str]]
) -> None:
    url, asked = listener
    page.open(small)
    tries = """
        const done = arguments[1], url = arguments[0], seen = [];
        document.addEventListener('securitypolicyviolation', event => {
            seen.push(event.effectiveDirective);
            if (new Set(seen).size === 3) done([...new Set(seen)].sort());
        });
        fetch(url + '/fetch').catch(() => {});
        document.body.append(Object.assign(new Image(), {src: url + '/image'}));
        document.body.append(Object.assign(document.createElement('script'), {src: url + '/script'}));
    """
    page.driver.set_script_timeout(WAIT_SECONDS)
    assert page.driver.execute_async_script(tries, url) == ["connect-src", "img-src", "script-src-elem"]
    assert asked == []


def test_hostile_text_is_shown_and_does_nothing(page: Page, tmp_path: Path) -> None:
    made = made_up.cohort(8, error=HOSTILE)
    page.open(made_up.page(tmp_path / "report.html", made_up.report(made, title=HOSTILE, log=(HOSTILE,))), "#run-21")
    assert page.js("return window.pwned") is None
    assert page.js("return document.images.length") == 0
    assert '</script><img src=x onerror="window.pwned=1">' in page.text("h1")
    assert '</script><img src=x onerror="window.pwned=1">' in page.text("#failures")
    assert page.complaints() == []


def test_filters(page: Page, small: Path) -> None:
    page.open(small)
    assert page.text("#shown") == "All 300 sessions"
    page.click("#f-failed")
    assert page.text("#shown") == "42 of 300 sessions"
    assert page.rows()[0][:5] == ["sub-00007ses-01", "completed", "failed", "blocked", "blocked"]
    page.choose("#f-pipeline", "qsiparc")
    assert page.text("#shown") == "0 of 300 sessions"
    page.choose("#f-state", "B")
    assert page.text("#shown") == "42 of 300 sessions"
    page.click("#f-reset")
    page.driver.find_element("id", "f-text").send_keys("0001 ses-01")
    assert page.text("#shown") == "11 of 300 sessions"
    page.click("#f-reset")
    assert page.text("#shown") == "All 300 sessions"


def test_what_is_counted_leads_to_the_sessions(page: Page, small: Path) -> None:
    page.open(small)
    page.click("#pipelines [data-state=R]")
    assert page.text("#shown") == "26 of 300 sessions"
    assert {row[3] for row in page.rows()} == {"running"}
    page.click("#failures button.plain")
    assert page.text("#shown") == f"42 of 300 sessions, with the failure {made_up.SIGNATURE}"


def test_sorting(page: Page, small: Path) -> None:
    page.open(small)
    head = "#matrix thead th:nth-child({}) button"
    sort = "return [...document.querySelectorAll('#matrix thead th')].map(h => h.getAttribute('aria-sort'))"
    page.click(head.format(3))
    assert page.js(sort) == [None, None, "ascending", None, None, None]
    assert page.rows()[0][2] == "failed"
    page.click(head.format(3))
    assert page.js(sort)[2] == "descending"
    assert page.rows()[0][2] == "completed"
    page.click(head.format(1))
    page.click(head.format(1))
    assert page.rows()[0][0] == "sub-00300ses-01"
    page.click(head.format(6))
    newest = [row[5] for row in page.rows()]
    assert newest == sorted(newest, reverse=True)


def test_the_keyboard_alone_reaches_every_cell_and_comes_back(page: Page, large: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    page.open(large)
    page.keys(Keys.TAB)
    assert page.focused() == "Skip to the cohort"
    page.keys(Keys.ENTER, Keys.TAB, *[Keys.TAB] * 10)
    assert page.focused() == "Last change (UTC)Changed"
    page.keys(Keys.TAB)
    assert page.focused() == "sub-00001"
    page.keys(*[Keys.ARROW_DOWN] * 40, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert "qsiprep of sub-00041 ses-01" in page.focused()
    ActionChains(page.driver).key_down(Keys.CONTROL).send_keys(Keys.END).key_up(Keys.CONTROL).perform()
    page.keys(Keys.HOME, Keys.ARROW_RIGHT)
    assert "bids_conversion of sub-03000 ses-01" in page.focused()
    assert page.js("return document.activeElement.closest('tr').getAttribute('aria-rowindex')") == "3001"
    page.keys(Keys.ENTER)
    page.wait("return document.querySelector('#subject').open")
    assert re.fullmatch(r"Run \d+: bids_conversion of sub-03000 ses-01, completed", page.focused())
    page.keys(Keys.ESCAPE)
    page.wait("return !document.querySelector('#subject').open")
    assert "bids_conversion of sub-03000 ses-01" in page.focused()


def test_of_many_rows_only_those_in_sight_exist_and_the_table_says_how_many_there_are(page: Page, large: Path) -> None:
    page.open(large)
    assert page.js("return document.querySelector('#matrix table').getAttribute('aria-rowcount')") == "3001"
    assert len(page.rows()) < 80
    page.js("document.querySelector('#matrix').scrollTop = 1e9")
    page.wait(f"return [...document.querySelectorAll('{ROW}')].pop().innerText.includes('sub-03000')")
    assert len(page.rows()) < 80
    assert page.complaints() == []


def test_a_link_opens_a_subject_and_its_links_lead_to_files(page: Page, tmp_path: Path) -> None:
    made = made_up.cohort(9)
    (tmp_path / "derivatives").mkdir()
    (tmp_path / "derivatives" / "sub 1#.html").write_text("the tool's own")
    made.figures.reports[2] = (tmp_path / "derivatives" / "sub 1#.html",)
    (tmp_path / "reports").mkdir()
    page.open(made_up.page(tmp_path / "reports" / "report.html", made_up.report(made)), "#sub-00001")
    assert page.text("#subject h2") == "sub-00001"
    page.click("#subject .buttons button:nth-child(2)")
    assert page.text("#subject h2") == "sub-00002"
    page.driver.back()
    page.wait("return document.querySelector('#subject h2').textContent === 'sub-00001'")
    assert "Mean FA over 5 regions" in page.text("#subject")
    address = page.js("return document.querySelector('#subject a[target=_blank]').href")
    page.js("location.hash = '#run-26'")
    page.wait("return document.querySelector('#subject h2').textContent === 'sub-00007'")
    assert "RuntimeError: eddy found 4 usable volumes" in page.text("#subject details[open]")
    assert "given up" in page.text("#subject details[open]")
    page.driver.back()
    page.wait("return document.querySelector('#subject h2').textContent === 'sub-00001'")
    page.driver.get(address)
    assert page.text("body") == "the tool's own"


def test_a_subject_has_its_values_per_region(page: Page, tmp_path: Path) -> None:
    made = made_up.cohort(12)
    regions = (("1", "left"), ("2", HOSTILE))
    for number in range(9):
        means = RegionMeans(
            "fa",
            "FA per region: Slabs, DemoTensor",
            regions[: 1 + number % 2],
            (0.4 + number / 100, 0.5)[: 1 + number % 2],
        )
        made.figures.regions.add(number, means)
    page.open(made_up.page(tmp_path / "report.html", made_up.report(made)), "#sub-00003")
    assert page.js("return document.querySelectorAll('#subject .regions table').length") == 0  # made when it is opened
    page.click("#subject .regions summary")
    page.wait("return document.querySelector('#subject .regions table')")
    rows = "[...document.querySelectorAll('#subject .regions tr')]"
    head, left, right = page.js(f"return {rows}.map(row => [...row.cells].map(cell => cell.textContent))")
    assert head == ["Index", "Region", "ses-01", "Cohort's median", "In the cohort"]
    assert left == ["1", "left", "0.42", "0.44", ""]
    assert (right[0], right[2:]) == ("2", ["n/a", "0.5", ""])
    assert right[1].startswith('</script><img src=x onerror="window.pwned=1">')
    assert page.js("return document.querySelectorAll('#subject .regions tbody th[scope=row]').length") == 2
    assert page.complaints() == []
    made.figures.regions.left_out = True
    page.open(made_up.page(tmp_path / "report.html", made_up.report(made)), "#sub-00003")
    assert "neuroflow export regions has them" in page.text("#subject")


def test_progress_says_of_what(page: Page, small: Path) -> None:
    page.open(small)
    assert page.text("#pipelines .done") == "300 of 300 sessions that can be run (100 %)"


def test_what_is_out_of_date_says_why_and_what_is_invalid_is_shown(page: Page, tmp_path: Path) -> None:
    made = made_up.cohort(3)
    made.add_session("00004", status=SessionStatus.INVALID)
    made.add_session("00005", status=SessionStatus.EXCLUDED)
    why = "waits for bids_conversion of sub-00001/ses-01"
    judgement = {1: {"qsiprep": Verdict(Kind.COMING, why, None)}}
    page.open(made_up.page(tmp_path / "report.html", made_up.report(made, judgement=judgement)))
    assert page.rows()[0][1:5] == ["completed", "out of date", "completed", "completed"]
    assert page.text("#pipelines tbody tr:nth-child(2) .done") == "2 of 3 subjects that can be run (66 %)"
    assert page.text("#attention li") == "1 session is invalid: show it"
    page.click("#show-invalid")
    assert page.text("#shown") == "1 of 5 sessions, invalid"
    assert [row[0] for row in page.rows()] == ["sub-00004ses-01"]
    page.click("#f-reset")
    assert page.text("#shown") == "All 5 sessions"
    page.js("location.hash = '#sub-00001'")
    page.wait("return document.querySelector('#subject').open")
    assert why in page.text("#subject table")
    assert "MiB" in page.text("#subject table")
    assert page.js("return [...document.querySelectorAll('#subject .buttons button')].map(one => one.disabled)") == [
        *(True, False, False)
    ]
    assert "(3 attempts, too few for quantiles)" in page.text("#usage")


def test_in_the_sandbox_of_a_viewer_links_work_too(page: Page, small: Path) -> None:
    frame = small.with_name("viewer.html")
    frame.write_text(f'<iframe sandbox="allow-scripts" width="1000" height="800" src="{small.name}"></iframe>')
    page.driver.get(frame.as_uri())
    page.driver.switch_to.frame(0)
    page.wait("return document.documentElement.dataset.ready")
    for number in (1, 2, 1):
        page.js(f"document.querySelector('{ROW}:nth-child({number}) a.cell').click()")
        assert page.text("#subject h2") == f"sub-0000{number}"
        page.js("document.querySelector('#subject .buttons button:last-child').click()")
        page.wait("return !document.querySelector('#subject').open")
    page.driver.switch_to.default_content()


def test_what_could_not_be_read_is_named(page: Page, tmp_path: Path) -> None:
    made = made_up.cohort(9)
    made.figures.unreadable, made.figures.problems = 2, ["fa.tsv is cut short"]
    page.open(made_up.page(tmp_path / "report.html", made_up.report(made)))
    told = "2 results could not be read whole: fa.tsv is cut short; and others."
    assert told in page.text("#figures")
    made.figures.values.clear()
    page.open(made_up.page(tmp_path / "report.html", made_up.report(made)))
    assert told in page.text("#figures")


def test_an_outlier_is_named(page: Page, small: Path) -> None:
    page.open(small)
    assert page.js("return [...document.querySelectorAll('#figures tbody a')].map(a => a.textContent)") == [
        "sub-00003 ses-01"
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_a_picture_of_it_shows_something_and_nothing_sticks_out(
    page: Page, small: Path, width: int, scheme: str
) -> None:
    from PIL import Image

    page.screen(width, 2400, scheme=scheme)
    page.open(small)
    assert page.js("return document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    picture = base64.b64decode(page.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"])
    with Image.open(io.BytesIO(picture)) as image:
        colours = image.convert("RGB").getcolors(1 << 24)
        background = image.convert("RGB").getpixel((2, image.height - 2))
    assert colours is not None
    assert len(colours) > 200
    assert max(colours)[0] < 0.9 * width * 2400
    assert (sum(background) > 600) is (scheme == "light")


def test_on_a_phone_neither_a_long_log_nor_a_subject_breaks_the_page(page: Page, tmp_path: Path) -> None:
    page.screen(400, 900)
    made = made_up.report(made_up.cohort(8, error="ValueError: " + "y" * 300), log=("x" * 900,))
    page.open(made_up.page(tmp_path / "report.html", made))
    page.click("#failures summary")
    assert page.js("return document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.js("location.hash = '#sub-00007'")
    page.wait("return document.querySelector('#subject').open")
    heights = page.js("return [...document.querySelectorAll('#subject td .state')].map(one => one.offsetHeight)")
    assert max(heights) < 40  # no word is broken into letters


def test_the_page_for_others_is_a_whole_page(page: Page, tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    made = made_up.cohort(9)
    made.figures.unreadable = 2
    numbers = {f"{number:05}": number % 9 + 1 for number in range(1, 10)}
    report = made_up.held(made_up.report(made), "qsirecon", "ada is away")
    report = anonymous(replace(report, wish=replace(report.wish, anonymous=True)), numbers)
    page.open(made_up.page(tmp_path / "report.html", report), "#sub-8")
    assert page.text("#subject h2") == "subject 8"
    page.js("document.querySelectorAll('#subject .run').forEach(run => { run.open = true; })")
    assert not re.search(r"\b(null|undefined|NaN|object|UTC|Job|Node|sub-\d)\b", page.text("#subject"))
    page.js("document.querySelector('#subject').close()")
    assert page.rows()[7] == ["subject 8session 1", "completed", "failed", "blocked", "blocked"]
    assert page.text("#failures h3") == "qsiprep failed: application"
    assert "qsirecon is held: for a reason that is left out here" in page.text("#attention")
    assert "2 results could not be read whole." in page.text("#figures")
    assert "without labels, paths" in page.text(".made")
    assert not re.search(r"\b(null|undefined|NaN|object|ada|login1|sub-\d+|2025-\d\d-\d\d \d\d)\b", page.text("body"))
    page.js(f"document.querySelector('{ROW} a').focus()")
    page.keys(Keys.END)
    assert page.focused() == "completed, qsiparc of subject 1 session 1"
    assert page.complaints() == []


def test_plots_are_drawn_for_the_width_of_the_paper(page: Page, small: Path) -> None:
    page.open(small)
    width = "return Number(document.querySelector('#flow .plot svg').getAttribute('width'))"
    before = page.js(width)
    page.js("window.dispatchEvent(new Event('beforeprint'))")
    assert page.js(width) < 700 < before
    page.js("window.dispatchEvent(new Event('afterprint'))")
    assert page.js(width) == before


def test_printed_it_has_every_row(page: Page, small: Path) -> None:
    page.open(small)
    page.js("window.dispatchEvent(new Event('beforeprint'))")
    assert len(page.rows()) == 300
    page.js("window.dispatchEvent(new Event('afterprint'))")
    assert len(page.rows()) < 80


def test_without_javascript_there_is_a_summary(page: Page, small: Path) -> None:
    page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.driver.get(small.as_uri())
        body = page.driver.find_element("tag name", "main").text
    finally:
        page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert "Runs by pipeline and state" in body
    assert "Failures that wait for a person" in body


def test_an_empty_cohort_is_a_page_as_well(page: Page, tmp_path: Path) -> None:
    page.open(made_up.page(tmp_path / "report.html", made_up.report(made_up.Cohort())))
    assert page.text("#shown") == "All 0 sessions"
    assert "No run has ended yet." in page.text("#time")
    assert not re.search(r"\b(null|undefined|NaN|object)\b", page.text("body"))
    assert page.complaints() == []
