"""A real Chromium for tests of pages."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
AXE = Path(__file__).parent / "data" / "axe" / "axe.min.js"

try:
    from playwright.sync_api import sync_playwright
except ImportError:
    CHROMIUM = None


@contextmanager
def started():
    """A browser; the test is skipped where there is none, and fails in CI."""
    if CHROMIUM is None:
        message = "the page is not tested: it needs Chromium (apt-get install chromium) and playwright"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def serious(page, *rules):
    """What axe-core finds that keeps people out, by all rules or these: the rule and the elements."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    options = {"resultTypes": ["violations"]} | ({"runOnly": rules} if rules else {})
    violations = page.evaluate("options => axe.run(options)", options)["violations"]
    return [
        (each["id"], [node["html"] for node in each["nodes"]])
        for each in violations
        if each["impact"] in {"serious", "critical"}
    ]
