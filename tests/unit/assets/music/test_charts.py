from __future__ import annotations

import base64
import io

import pytest
from PIL import Image

from assets.frame.pictures import largest
from assets.music.gold import charts


class Answers:
    """A connection whose every query has the same rows."""

    def __init__(self, *rows):
        self.rows = list(rows)

    def execute(self, _sql):
        return self

    def fetchall(self):
        return self.rows


def picture(markdown: str) -> Image.Image:
    name, encoded = markdown.removesuffix(")").split("](data:image/png;base64,")
    assert name.startswith("![")
    return Image.open(io.BytesIO(base64.b64decode(encoded)))


# A glyph that the font does not have would be warned of in every run's log.
@pytest.mark.filterwarnings("error:Glyph:UserWarning")
@pytest.mark.parametrize(
    ("chart", "rows"),
    [
        (charts.tempo_chart, [(60, 3), (120, 40), (500, 1)]),
        (charts.years_chart, [(1926, 1), (2010, 900)]),
        (charts.genres_chart, [("$x^{", 3), ("Röck & Roll", 2), ("新しい", 1)]),
    ],
)
def test_picture(chart, rows):
    markdown = chart(Answers(*rows))
    image = picture(markdown)
    assert image.format == "PNG"
    assert image.width > image.height
    assert len(markdown) < 40_000
    # Something is drawn: other figures make another picture.
    assert markdown != chart(Answers(*rows[:-1]))


@pytest.mark.parametrize("chart", [charts.tempo_chart, charts.years_chart, charts.genres_chart])
def test_nothing_to_draw(chart):
    assert chart(Answers()) == ""


def test_small_genres_are_summed_up():
    counts = [(f"g{i:02}", 100 - i) for i in range(15)]
    bars = largest(counts, charts.MOST_GENRES)
    assert len(bars) == charts.MOST_GENRES + 1
    assert bars[:2] == [("g00", 100), ("g01", 99)]
    assert bars[-1] == ("(4 others)", 89 + 88 + 87 + 86)
    assert largest(counts[:11], charts.MOST_GENRES) == counts[:11]
