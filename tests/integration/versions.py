"""The Prometheus versions the differential tests compare kvass with: the installed one, and those that scripts/fetch-prometheus has
unpacked (KVASS_PROMETHEUS_DIR, ~/.cache/kvass-prometheus). A version that is not there is named in pytest's summary and its cases do
not exist; with KVASS_TEST_REQUIRE_VERSIONS=1 its absence is an error."""
import os
import re
import shutil
import subprocess

FOLDER = os.environ.get("KVASS_PROMETHEUS_DIR") or os.path.expanduser("~/.cache/kvass-prometheus")
EXPECTED = ["2.42", "2.53", "3.5"]


class Version:
    """prometheus and promtool are paths; name is "2.42", full "2.42.0+ds", and major what kvass calls it."""

    def __init__(self, prometheus, promtool):
        self.prometheus, self.promtool = prometheus, promtool
        done = subprocess.run([prometheus, "--version"], capture_output=True, text=True, timeout=20)
        self.full = re.search(r"version (\S+)", done.stdout + done.stderr).group(1)
        self.number = tuple(int(n) for n in self.full.split("+")[0].split(".")[:2])
        self.name = "%d.%d" % self.number
        self.major = self.number[0]
        self.option = "--prometheus.version=" + self.full


def find():
    found = []
    prometheus = os.environ.get("KVASS_TEST_PROMETHEUS") or shutil.which("prometheus")
    promtool = os.environ.get("KVASS_TEST_PROMTOOL") or shutil.which("promtool")
    if prometheus and promtool:
        found.append(Version(prometheus, promtool))
    for name in sorted(os.listdir(FOLDER)) if os.path.isdir(FOLDER) else []:
        pair = [os.path.join(FOLDER, name, program) for program in ("prometheus", "promtool")]
        if name[0].isdigit() and all(os.access(p, os.X_OK) for p in pair) and name not in [v.name for v in found]:
            found.append(Version(*pair))
    return sorted(found, key=lambda v: v.number)


VERSIONS = find()
MISSING = [name for name in EXPECTED if name not in [v.name for v in VERSIONS]]
if MISSING and os.environ.get("KVASS_TEST_REQUIRE_VERSIONS") == "1":
    raise RuntimeError(f"Prometheus {', '.join(MISSING)} is not there; run scripts/fetch-prometheus")


def header():
    lines = ["compared with Prometheus " + (", ".join(v.full for v in VERSIONS) or "of no version")]
    if MISSING:
        lines.append(f"not compared with {', '.join(MISSING)}: not there (scripts/fetch-prometheus unpacks them)")
    return lines
