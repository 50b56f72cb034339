"""The comparison with other formats, on few images: what was stored comes back."""

import pytest

from tests.benchmarks import peers

LEFT_OUT = {"Lance": "pylance", "LitData": "litdata", "webdataset": "webdataset"}


@pytest.mark.filterwarnings("ignore")  # of other libraries
def test_rows_and_their_table(tmp_path):
    said: list[str] = []
    rows = peers.rows_peers(tmp_path, count=150, rounds=1, say=said.append)
    assert all(row["value"] > 0 for row in rows)
    lines = peers.as_table(rows)
    assert lines[2].startswith("| shards | ")
    shown = {line.split(" | ")[0].removeprefix("| ") for line in lines[2:]}
    assert shown | set(LEFT_OUT) == {peer.name for peer in peers.PEERS}
    assert all(f"pip install {LEFT_OUT[line.split(':')[0]]}`" in line for line in said)


def test_a_reader_of_other_images_is_found():
    one, other = peers.distinct(2)
    with pytest.raises(RuntimeError, match="gives another image"):
        peers._check("mixed up", peers._each(lambda _: other, 2), [one, other])
