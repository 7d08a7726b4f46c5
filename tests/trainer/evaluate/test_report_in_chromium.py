"""The report in a real Chromium, wide and narrow, light and dark."""

from __future__ import annotations

import pytest

from chromium import serious, started
from onnx_networks import write_tagger
from planted import Painter

pytestmark = pytest.mark.slow


@pytest.fixture
def report(evaluated, options, tmp_path, few):
    """The page of an evaluation with a tagger."""
    tagger = write_tagger(tmp_path / "tagger", {"1girl": ("0", 0)})
    painter = Painter.of(6, lambda own, draw: own + int(draw.integers(0, 2)))
    return evaluated(painter, options=options(tags={"model": str(tagger)}), names=few).page


def test_the_report_is_sound_wide_and_narrow_light_and_dark(report):
    urls = []
    with started() as browser:
        page = browser.new_page()
        page.on("request", lambda request: urls.append(request.url))
        page.goto(report.as_uri())
        for width, scheme in ((1280, "light"), (390, "dark")):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)
            assert serious(page) == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            pictures = page.locator("img")
            assert pictures.count() == 6 * (2 + 4)
            assert all(pictures.evaluate_all("images => images.map(image => image.naturalWidth > 0)"))
            assert "picture 1 of hero_" in pictures.first.get_attribute("alt")
            sizes = page.locator("svg text").evaluate_all(
                "texts => texts.map(text => text.getBoundingClientRect()).map(box => [box.left, box.right])"
            )
            assert all(left >= 0 and right <= width for left, right in sizes)
    assert not [url for url in urls if not url.startswith(("file:", "data:"))]
