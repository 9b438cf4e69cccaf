"""A minute of the soak (soak.py): every injected fault is exactly one failed scrape with a true reason, memory does not grow."""
from soak import run


def test_a_minute_of_faults(tmp_path):
    report = run(60, str(tmp_path))
    assert report["faults"] >= 15
