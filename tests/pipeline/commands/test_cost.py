"""Costs on paper: sums worked by hand, rates of one's own, limits measured at small scale."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.commands import cost
from pipeline.commands.cost import Rate, estimate, limits, parse_rates
from reid.project.errors import ReidError


def test_shards_bytes_hours_and_money_by_hand():
    rates = {"ingest": Rate(1000), "joints": Rate(500, "gpu")}
    found = estimate(
        7_200_000, ["ingest", "joints"], rates=rates, row_bytes={"ingest": 0, "joints": 100},
        image_bytes=10_000, units={"core": 4}, prices={"core": 3.0, "gpu": 5.0},
    )  # fmt: skip
    ingest, joints = found
    assert (ingest.shards, joints.shards) == (3_516, 3_516)  # of 2,048 rows
    assert (ingest.gigabytes, joints.gigabytes) == pytest.approx((72.0, 0.72))
    assert (ingest.unit_hours, ingest.hours, ingest.money) == pytest.approx((2.0, 0.5, 6.0))
    assert (joints.unit, joints.unit_hours, joints.hours, joints.money) == ("gpu", 4.0, 4.0, 20.0)


def test_large_images_end_a_shard_by_its_bytes():
    line = estimate(1_000, ["ingest"], image_bytes=2.56e6)[0]
    assert line.shards == 10  # of 100 images


def test_without_a_price_there_is_no_money():
    assert estimate(100, ["ingest"])[0].money is None
    assert estimate(100, ["ingest"], prices={"gpu": 9.0})[0].money is None


def test_a_stage_without_a_rate_asks_for_one():
    with pytest.raises(ReidError, match=r"no measured rate of masks .*--rate masks="):
        estimate(100, ["ingest", "masks"])
    assert estimate(100, ["masks"], rates=parse_rates(["masks=12"]))[0].unit == "core"


def test_rates_are_of_a_core_or_of_a_gpu():
    found = parse_rates(["masks=12", "joints=900:gpu"])
    assert found == {"masks": Rate(12, "core"), "joints": Rate(900, "gpu")}


@pytest.mark.parametrize("text", ["masks", "masks=", "masks=many", "masks=0", "=3", "masks=3:tpu"])
def test_a_rate_that_is_none_is_refused(text: str):
    with pytest.raises(ReidError, match="must be STAGE=NUMBER"):
        parse_rates([text])


def test_no_images_are_refused():
    with pytest.raises(ReidError, match="must be above 0"):
        estimate(0, ["ingest"])


def test_stages_with_a_rate_have_a_size():
    assert set(cost.RATES) <= set(cost.ROW_BYTES)


def test_limits_grow_with_the_images(tmp_path: Path):
    small = limits(2_048_000, tmp_path / "small", shards=20, files=40)
    by_name = {limit.what: limit for limit in small}
    assert by_name["files in one folder of .work"].amount == 2_000  # of 1,000 shards
    manifest = by_name["manifest.json"]
    assert 0.1 < manifest.amount < 0.4, "MB; an entry is a name, two numbers and a SHA-256"
    assert all(limit.amount > 0 for limit in small)
