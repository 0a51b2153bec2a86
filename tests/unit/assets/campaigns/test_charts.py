from __future__ import annotations

import base64
import io
from datetime import UTC, date, datetime

import polars as pl
from PIL import Image

from assets.campaigns.charts import Tally, events_chart
from assets.frame.pictures import largest


def chunk(*rows):
    return pl.DataFrame(
        [{"campaign": c, "timestamp": t} for c, t in rows],
        schema={"campaign": pl.String, "timestamp": pl.Datetime("us", "UTC")},
    )


def test_counts_over_chunks():
    day = datetime(2025, 11, 3, 23, 59, tzinfo=UTC)
    chunks = [chunk(("a", day), (None, day)), chunk(("a", day.replace(day=4)))]
    tally = Tally()
    assert len(list(tally.passing(chunks))) == 2
    assert tally.campaigns == {"a": 2, "(none)": 1}
    assert tally.days == {date(2025, 11, 3): 2, date(2025, 11, 4): 1}


def test_picture():
    tally = Tally()
    tally.add(chunk(("$x^{", datetime(2025, 11, 3, tzinfo=UTC))))
    markdown = events_chart(tally)
    encoded = markdown.removeprefix("![events per campaign and per day](data:image/png;base64,")
    image = Image.open(io.BytesIO(base64.b64decode(encoded.removesuffix(")"))))
    assert image.format == "PNG"
    assert image.width > image.height
    assert len(markdown) < 60_000


def test_nothing_to_draw():
    assert events_chart(Tally()) == ""


def test_many_campaigns_are_summed_up():
    bars = largest({f"c{i:02}": 100 - i for i in range(15)}.items())
    assert bars[0] == ("c00", 100)
    assert bars[-1] == ("(3 others)", 88 + 87 + 86)
