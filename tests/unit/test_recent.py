"""What was asked lately, by task."""

from serving.recent import Recent


def test_the_newest_of_each_task():
    recent = Recent(3)
    assert recent.of("action") == ()
    for number in range(5):
        recent.add("action", number)
    recent.add("pose", "a")
    assert (recent.of("action"), recent.of("pose")) == ((2, 3, 4), ("a",))
