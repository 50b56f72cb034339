"""The picture of README.md has a panel for all that is built."""

from reid.results.built import BuiltData
from tests.reid.report.test_page import built  # noqa: F401
from tests.strip import strip


def test_all_panels_are_drawn(built):  # noqa: F811
    figure = strip(built)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[:3] == ["image", "joints", "part boxes"]
    assert titles[3].startswith("toy-inter: "), "the better of the two"
    assert titles[4].startswith("CMC")
    assert BuiltData("toy", built).has("mask") == ("mask" in titles)
