"""Months of domains as they leave: each figure recounted from the source's rows, no exact one."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from statistics import median

import psycopg
import pytest

from tests.integration.api.listed import everywhere, of_csv
from tests.integration.domains.month_world import BEFORE, MONTH, MonthWorld

pytestmark = pytest.mark.servers("postgres", "s3", "openai")

MONTHS = "/v1/domains/months"
SHOES, BIRDS = "Lifestyle/Shoes", "Pets/Birds"
CATEGORIES = {f"shop{n:02}.com": SHOES if n < 7 else BIRDS for n in range(9)}
_CENT = Decimal("0.01")


def source(month):
    """Nine domains whose figures are found nowhere else; one is new, one is gone after a month."""
    rows = []
    for n in range(10):
        if n == (9 if month == MONTH else 0):
            continue
        grown = 3 if month == MONTH and n == 1 else 1
        for country, share in (("US", 7), ("DE", 3)):
            revenue = Decimal(f"{(n + 1) * share * 10477 * grown}.37")
            orders, visits = (n + 1) * share * 113 + n, (n + 1) * share * 4799 + 11 * n
            rows.append((f"{month}-01", country, f"shop{n:02}.com", revenue, orders, visits))
    return rows


def exact(month):
    """Revenue, orders, visits, conversion rate and order value of each domain, over countries."""
    sums = defaultdict(lambda: [Decimal(0), 0, 0])
    for _, _, domain, revenue, orders, visits in source(month):
        for n, value in enumerate((revenue, orders, visits)):
            sums[domain][n] += value
    return {
        domain: (
            revenue, orders, visits,
            (Decimal(orders * 100) / visits).quantize(_CENT, ROUND_HALF_UP),
            (revenue / orders).quantize(_CENT, ROUND_HALF_UP),
        )
        for domain, (revenue, orders, visits) in sums.items()
    }  # fmt: skip


def short(number):
    for power, suffix in ((9, "B"), (6, "M"), (3, "K")):
        if number >= 10**power:
            return f"{number // 10**power}{suffix}"
    return str(number)


def magnitude(value):
    edges = [digit * 10**power for power in range(12) for digit in (1, 2, 5)]
    low, high = next((low, high) for low, high in pairwise(edges) if low <= value < high)
    return f"{short(low)}–{short(high)}"


def wide(value, width, form):
    low = value // width * width
    return f"{low:{form}}-{low + width:{form}}"


def order_value(value):
    return wide(value, Decimal(25), ".0f") if value < 1000 else magnitude(value)


def direction(now, before):
    if before is None:
        return None
    if abs(now - before) <= abs(before) * Decimal("0.05"):
        return "flat"
    return "up" if now > before else "down"


def binned(month, before=None):
    figures, past = exact(month), exact(before) if before else {}
    return {
        domain: {
            "revenue": magnitude(one[0]),
            "revenue_direction": direction(one[0], past.get(domain, [None] * 5)[0]),
            "sessions": magnitude(one[2]),
            "sessions_direction": direction(one[2], past.get(domain, [None] * 5)[2]),
            "conversion_rate": wide(one[3], Decimal("0.5"), ".2f"),
            "conversion_rate_direction": direction(one[3], past.get(domain, [None] * 5)[3]),
            "order_value": order_value(one[4]),
        }
        for domain, one in figures.items()
    }


def percentile(values, share):
    """Between the two neighbours, linearly."""
    ordered = sorted(map(float, values))
    place = (len(ordered) - 1) * share
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return Decimal(str(ordered[low] + (ordered[high] - ordered[low]) * (place - low)))


@pytest.fixture
def world(service, env):
    return MonthWorld(env)


def test_nothing_is_there_before_the_first_month(service):
    for path in ("", f"/{MONTH}/domains", f"/{MONTH}/changes?format=csv"):
        said = service.get(MONTHS + path)
        assert (said.status_code, said.json()["code"]) == (409, "nothing_loaded"), path
    for wrong in ("2025-13", "0000-01", "x"):
        assert service.get(f"{MONTHS}/{wrong}/domains").status_code == 422


def test_every_figure_that_leaves_is_a_bin_of_the_exact_one(service, world, env):
    world.fill(
        [*source(BEFORE), *source(MONTH)],
        [(domain, category, "US") for domain, category in CATEGORIES.items()],
    )
    assert world.run(BEFORE).success
    assert world.run(MONTH).success
    told = []

    def listed(path, **asked):
        rows = everywhere(service, f"{MONTHS}{path}", limit=4, **asked)
        told.append(json.dumps(rows, ensure_ascii=False))
        told.extend(map(str, of_csv(service, f"{MONTHS}{path}", **asked)))
        return rows

    assert [(one["month"], one["domains"], one["categories"]) for one in listed("")] == [
        (MONTH, 9, 2), (BEFORE, 9, 2),
    ]  # fmt: skip

    now, before = binned(MONTH, BEFORE), binned(BEFORE)
    rows = listed(f"/{MONTH}/domains")
    assert [one["domain"] for one in rows] == sorted(now)
    for one in rows:
        assert {name: one[name] for name in now[one["domain"]]} == now[one["domain"]]
        assert one["category"] == CATEGORIES.get(one["domain"])
        assert one["domain"] in one["description"]
    bin_of = now["shop03.com"]["revenue"]
    in_bin = [one["domain"] for one in listed(f"/{MONTH}/domains", revenue=bin_of)]
    assert in_bin == [domain for domain in sorted(now) if now[domain]["revenue"] == bin_of]
    birds = [one["domain"] for one in listed(f"/{MONTH}/domains", category=BIRDS)]
    assert birds == ["shop07.com", "shop08.com"]

    figures = exact(MONTH)
    shoes = [figures[domain] for domain in figures if CATEGORIES.get(domain) == SHOES]
    tenth, ninetieth = ([percentile([one[n] for one in shoes], share) for n in (3, 4)]
                        for share in (0.1, 0.9))  # fmt: skip
    categories = {one["category"]: one for one in listed(f"/{MONTH}/categories")}
    assert categories[SHOES] == {
        "month": MONTH, "category": SHOES, "domains": 7,
        "median_revenue": magnitude(median(one[0] for one in shoes)),
        "largest_revenue": magnitude(max(one[0] for one in shoes)),
        "median_sessions": magnitude(median(one[2] for one in shoes)),
        "highest_sessions": magnitude(max(one[2] for one in shoes)),
        "conversion_rate_10": wide(tenth[0], Decimal("0.5"), ".2f"),
        "conversion_rate_90": wide(ninetieth[0], Decimal("0.5"), ".2f"),
        "order_value_10": order_value(tenth[1]),
        "order_value_90": order_value(ninetieth[1]),
    }  # fmt: skip
    # Two domains say nothing of their category.
    assert {value for name, value in categories[BIRDS].items() if "_" in name} == {None}

    counted = Counter(
        (name, one[name])
        for one in now.values()
        for name in ("revenue", "sessions", "conversion_rate", "order_value")
    )
    assert {
        (one["measure"], one["bin"]): one["domains"] for one in listed(f"/{MONTH}/bins")
    } == counted
    assert sum(one["domains"] for one in listed(f"/{MONTH}/bins", category=BIRDS)) == 4 * 2

    changes = {one["domain"]: one for one in listed(f"/{MONTH}/changes")}
    assert {domain: one["change"] for domain, one in changes.items()} == {
        "shop00.com": "new", "shop09.com": "gone",
        **{f"shop0{n}.com": "changed" for n in range(1, 9)},
    }  # fmt: skip
    for domain, one in changes.items():
        for name in ("revenue", "sessions", "conversion_rate", "order_value"):
            assert one[name] == now.get(domain, {}).get(name)
            assert one[f"{name}_before"] == before.get(domain, {}).get(name)
    assert [one["domain"] for one in listed(f"/{MONTH}/changes", change="new")] == ["shop00.com"]

    for domain in now:
        said = service.get(f"/v1/domains/{domain}")
        told.append(json.dumps(said.json()["answer"], ensure_ascii=False))
        card = said.json()["answer"]
        assert card["domain"] == next(one for one in rows if one["domain"] == domain)
        assert card["category"] == categories.get(CATEGORIES.get(domain))
        assert card["months"] == ([MONTH] if domain == "shop00.com" else [MONTH, BEFORE])
    earlier = service.get(f"/v1/domains/shop09.com?month={BEFORE}").json()["answer"]
    told.append(json.dumps(earlier, ensure_ascii=False))
    assert service.get(f"/v1/domains/shop09.com?month={MONTH}").json()["code"] == "unknown_domain"
    assert service.get(f"{MONTHS}/2024-01/domains").json()["code"] == "unknown_month"

    assert_no_exact_figure("\n".join(told), env)


def assert_no_exact_figure(told, env):
    """None of the source, nor of the tables within, however it is written."""
    hidden = {str(value) for month in (MONTH, BEFORE) for one in exact(month).values()
              for value in one}  # fmt: skip
    with psycopg.connect(env["POSTGRES_URL"]) as connection:
        for table in ("domain_metrics", "domain_features"):
            kinds = dict(
                connection.execute(
                    "SELECT column_name, data_type FROM information_schema.columns"
                    " WHERE table_schema = 'domains' AND table_name = %s",
                    (table,),
                ).fetchall()
            )
            names = [name for name, kind in kinds.items() if kind in {
                "numeric", "double precision", "bigint"}]  # fmt: skip
            rows = connection.execute(f"SELECT {', '.join(names)} FROM domains.{table}").fetchall()
            hidden |= {str(value) for row in rows for value in row if value is not None}
    # Small whole numbers are counts of domains, and the edges of bins.
    hidden = {one for one in hidden if len(one.replace(".", "").strip("0")) > 2}
    hidden |= {one.split(".")[0] for one in hidden if len(one.split(".")[0]) > 4}
    assert len(hidden) > 90
    bins = re.compile(r"\d+(?:\.\d\d)?[KMB]?[-–]\d+(?:\.\d\d)?[KMB]?")
    tokens = set(re.findall(r"\d[\d.]*\d|\d", bins.sub(" ", told.replace(",", ""))))
    assert tokens
    assert not tokens & hidden
    # The same look finds a figure that does leave.
    assert set(re.findall(r"\d[\d.]*\d", f"earns {max(hidden, key=len)} a month")) & hidden


def test_lists_of_a_month_are_not_sorted_by_a_figure(service):
    """An order would tell more than the bins do."""
    paths = service.get("/openapi.json").json()["paths"]
    of_domains = [one for path, one in paths.items() if path.startswith("/v1/domains")]
    assert len(of_domains) >= 7
    names = {p["name"] for one in of_domains for p in one["get"].get("parameters", ())}
    assert "cursor" in names
    assert "sort" not in names
