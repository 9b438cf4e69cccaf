"""The jobs made of operator resources (tests/unit/k8s/operator/*.yml) are read by the real promtool of each version:
a key that a version does not know, or a value it refuses, would stop every shard from loading its configuration."""

import os
import pathlib
import re
import subprocess

import pytest
import yaml

import versions

FOLDER = pathlib.Path(os.environ["top_srcdir"]) / "tests/unit/k8s/operator"
CASES = sorted(path.stem for path in FOLDER.glob("*.yml"))

# Keys of the HTTP client, which kvass reads itself: a shard's configuration has none of them, and 2.42 lacks some.
CLIENT = {"basic_auth", "authorization", "oauth2", "bearer_token", "bearer_token_file", "tls_config", "proxy_url",
          "no_proxy", "proxy_connect_header"}


def number(text):
    parts = text.split(".")
    return int(parts[0]), int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else 0


def promtool(version, path):
    return subprocess.run([str(version.promtool), "check", "config", "--syntax-only", str(path)],
                          capture_output=True, text=True, timeout=60)


def wanted(case):
    return number(case.split("@")[1]) if "@" in case else (2, 42)


def test_there_are_cases():
    assert len(CASES) >= 15
    assert {c.split("-")[0] for c in CASES} == {"servicemonitor", "podmonitor", "probe", "scrapeconfig"}


@pytest.mark.parametrize("case", CASES)
def test_is_read_by_promtool(version, case, tmp_path):
    here = number(version.name)
    if here < wanted(case):
        return  # made for newer servers; the newer promtools read it
    tree = yaml.safe_load((FOLDER / f"{case}.yml").read_text())
    for job in tree["scrape_configs"]:
        for key in [k for k in job if here < (2, 45) and k in CLIENT]:
            job.pop(key)
    path = tmp_path / "prometheus.yml"
    for _ in range(20):
        path.write_text(yaml.safe_dump(tree, sort_keys=False))
        done = promtool(version, path)
        # Debian builds Prometheus without some mechanisms of discovery.
        lacking = re.findall(r"field (\w+_sd_configs) not found", done.stdout + done.stderr)
        if not lacking:
            break
        for job in tree["scrape_configs"]:
            for key in lacking:
                job.pop(key, None)
    assert done.returncode == 0, done.stdout + done.stderr
