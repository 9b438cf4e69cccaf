"""The documents: every command of every console block runs, in a sandbox, and shows what the document says; links lead somewhere."""
import os
import re
import subprocess
import sys

import pytest
from harness import BUILD, SOURCE

DOCS = os.path.join(SOURCE, "docs")
WITH_COMMANDS = ["getting-started.md", "moving.md", "sizing.md", "ha.md", "security.md", "troubleshooting.md", "coordinator.md",
                 "sidecar.md"]


def documents():
    return sorted(n for n in os.listdir(DOCS) if n.endswith(".md"))


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def namespaces():
    """Root has namespaces; others get them with a user namespace in which they are root."""
    command = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
    return (command, "") if os.geteuid() == 0 else (command + ["--map-root-user"], ",userxattr")


@pytest.mark.parametrize("name", WITH_COMMANDS)
def test_commands(name, tmp_path):
    command, overlay = namespaces()
    script = os.path.join(SOURCE, "tests/docs/machine.sh")
    done = subprocess.run([*command, "bash", script, "sandbox", os.path.join(DOCS, name)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=400, check=False, stdin=subprocess.DEVNULL,
                          env={**os.environ, "TMPDIR": str(tmp_path), "SANDBOX_OVERLAY": overlay,
                               "top_srcdir": os.path.abspath(SOURCE), "top_builddir": os.path.abspath(BUILD)})
    assert done.returncode == 0, done.stdout
    assert re.search(r"(?m)^\d+ commands$", done.stdout) and "ok: " in done.stdout


def test_no_document_with_commands_is_left_out():
    assert sorted(n for n in documents() if "```console" in read(os.path.join(DOCS, n))) == sorted(WITH_COMMANDS)


@pytest.mark.parametrize("name", [f"docs/{n}" for n in documents()] + ["README.md", "HACKING.md", "ARCHITECTURE.md"])
def test_links_lead_somewhere(name):
    path = os.path.join(SOURCE, name)
    for target in re.findall(r"\]\(([^)#]+)", read(path)):
        assert re.match(r"https?://", target) or os.path.exists(os.path.join(os.path.dirname(path), target)), target


def test_the_runner_notices(tmp_path):
    """A command that fails, output that is not as shown, and a document without commands are told."""
    runner = os.path.join(SOURCE, "tests/docs/commands.py")
    for text, status in (("```console\n$ true\n```\n", 0), ("```console\n$ false\n```\n", 1), ("```console\n$ echo a b\na...\n```\n", 0),
                         ("```console\n$ printf 'a\\nb\\n'\nb\na\n```\n", 1), ("no commands", 1), ("```console\n$ echo '[x]'\n[x]\n```\n", 0)):
        path = tmp_path / "doc.md"
        path.write_text(text)
        done = subprocess.run([sys.executable, runner, str(path)], stdout=subprocess.PIPE, timeout=60, check=False,
                              env={**os.environ, "DOCS_PATIENCE": "0"})
        assert done.returncode == status, (text, done.stdout)
