"""What /metrics of kvass prints, judged by promtool and by Prometheus' own reading of it."""
import os
import subprocess

BUILD = os.environ.get("top_builddir", ".")
PAGE = os.path.join(BUILD, "tests/unit/base/test_metrics")
# Names of an older Kvass that dashboards know and promtool would not give today: a gauge that ends in _total.
KNOWN_NAMES = (b"kvass_sidecar_targets_total",)


def full_page():
    """Every row of the table with a series whose label values hold quotes, newlines and a byte that is no UTF-8."""
    done = subprocess.run([PAGE, "print"], stdout=subprocess.PIPE, timeout=60, check=True)
    return done.stdout


def test_promtool_accepts_every_row():
    page = full_page()
    assert page.count(b"# TYPE kvass_") > 5
    page = b"".join(line for line in page.splitlines(True) if not any(name in line for name in KNOWN_NAMES))
    done = subprocess.run(["promtool", "check", "metrics"], input=page, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=60, check=False)
    assert done.returncode == 0, done.stdout.decode()
    assert done.stdout == b""


def test_count_agrees_with_the_page():
    page = full_page()
    samples = [line for line in page.decode().splitlines() if line and not line.startswith("#")]
    done = subprocess.run([os.path.join(BUILD, "kvass"), "count"], input=page, stdout=subprocess.PIPE, timeout=60, check=True)
    assert b'"samples_scraped":%d,' % len(samples) in done.stdout.replace(b" ", b"")
