"""A real Chromium without a window, driven by its own ChromeDriver."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOW = "install Chromium and its driver (Debian: apt install chromium chromium-driver), and selenium"
# The browser's own calls home would be refused on a closed network, at every start.
QUIET = (
    *("--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


@dataclass(frozen=True)
class Programs:
    """Where the browser and its driver are."""

    browser: str
    driver: str


def find_chromium() -> Programs | None:
    """Return the programs, None when one of them is missing."""
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    return None if browser is None or driver is None else Programs(browser, driver)


@contextmanager
def running_chromium(programs: Programs, folder: Path) -> Iterator[Any]:
    """Give a selenium driver of a browser whose profile is in a folder, and which logs its console and network."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = programs.browser
    # Chromium's own sandbox needs user namespaces, and refuses root: https://crbug.com/638180
    for argument in (*QUIET, *(("--no-sandbox",) if os.geteuid() == 0 else ()), f"--user-data-dir={folder}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(programs.driver))
    try:
        yield driver
    finally:
        driver.quit()
