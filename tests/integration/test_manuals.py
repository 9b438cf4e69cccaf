"""The manual pages say what the program does: every command, every option of a tool, the exit statuses.
tests/lint/options.sh renders them."""
import os
import re
import subprocess

import pytest
from harness import BUILD, KVASS, SOURCE

ROLES = {"appliance", "coordinator", "sidecar", "run"}
TOOLS = [["get"], ["count"], ["render"], ["plan"], ["simulate"], ["check", "config"], ["check", "service-discovery"]]


def page(name):
    """Without the marks of fonts and of hyphens."""
    path = os.path.join(BUILD, "docs/man", name)
    path = path if os.path.exists(path) else os.path.join(SOURCE, "docs/man", name)
    with open(path, encoding="utf-8") as f:
        text = f.read()
    return re.sub(r"\\f[BIRP]", "", text.replace("\\-", "-"))


def run(*arguments, **more):
    return subprocess.run([KVASS, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False, **more)


def test_every_command_has_its_place():
    lines = [line.split("   ")[0].strip() for line in run("help").stdout.splitlines() if line.startswith("  ")]
    assert len(lines) >= 13
    for command in lines:
        assert f"kvass {command}" in page("kvass.8" if command in ROLES else "kvass.1"), command


@pytest.mark.parametrize("tool", TOOLS, ids=" ".join)
def test_every_option_of_a_tool(tool):
    section = re.search(rf"(?ms)^\.SS kvass {' '.join(tool)}\n(.*?)(?=^\.S[SH] )", page("kvass.1")).group(1)
    described = set(re.findall(r"(?m)^\.TP\n--([a-z.-]+)", section))
    assert described == set(re.findall(r"(?m)^  --([a-z.-]+)", run(*tool, "--help").stdout)), tool


@pytest.mark.parametrize("name", ["kvass.8", "kvass.yaml.5"])
def test_every_option_of_the_daemons(name):
    text = page(name)
    for role in ("appliance", "coordinator", "sidecar"):
        for option in re.findall(r"(?m)^  --([a-z.-]+)", run(role, "--help").stdout):
            wanted = f"--{option}" if name == "kvass.8" else f"{option}:"
            assert wanted in text or option in ("kvass.config", "help"), (role, option)


def test_exit_statuses_are_as_documented(tmp_path):
    """kvass(1): 0 when done, 1 when the answer is no, 2 for wrong usage; kvass(8): 1 when starting failed, 2 for a refused option."""
    one, eight = (page(n).partition(".SH EXIT STATUS\n")[2].partition(".SH")[0] for n in ("kvass.1", "kvass.8"))
    assert one.startswith("0 when done, 1 when the answer is no or the command failed, 2 for wrong usage")
    assert eight.startswith("0 after an orderly end, 1 when starting failed, 2 for an option that is refused")
    good, bad = tmp_path / "good.yml", tmp_path / "bad.yml"
    good.write_text("scrape_configs: []\n", encoding="utf-8")
    bad.write_text("scrape_configs: 7\n", encoding="utf-8")
    assert run("check", "config", str(good)).returncode == 0
    assert run("check", "config", str(bad)).returncode == 1
    assert run("check", "config").returncode == 2
    assert run("count", input="a 1\n").returncode == 0
    assert run("count", input="a{ 1\n").returncode == 1
    assert run("count", "--no-such").returncode == 2
    assert run("plan", str(bad)).returncode == 1
    assert run("render", f"--config.file={bad}").returncode == 1
    assert run("simulate", str(bad)).returncode == 1
    assert run("no-such-command").returncode == 2
    common = ["--kvass.config=/dev/null", f"--store.path={tmp_path}", "--web.address=127.0.0.1:0", "--web.proxy-addr=127.0.0.1:0"]
    assert run("appliance", *common, f"--config.file={tmp_path}/none").returncode == 1
    assert run("appliance", *common, "--move.budget=many").returncode == 2
    assert run("run", "--kvass.config=/dev/null").returncode == 2
