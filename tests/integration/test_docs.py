"""The documents: every command of every console block runs, in a sandbox, and shows what the document says; links lead somewhere."""
import os
import re
import subprocess
import sys

import pytest
from harness import BUILD, KVASS, SOURCE

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


# Commands that stand outside of console blocks, and what runs them: a file of the tests, and words in it.
ELSEWHERE = {
    "scripts/demo": ("tests/package.sh", "scripts/demo.py"), "./scripts/demo": ("tests/package.sh", "scripts/demo.py"),
    "./scripts/check": (".ci/run", "scripts/check"), "scripts/long": ("scripts/long", "versions"),
    "scripts/fetch-prometheus": (".ci/run", "fetch-prometheus"), "make check": ("scripts/check", "make"),
    "make update-docs": ("tests/lint/options.sh", "make update-docs"), "make bench/": ("bench/Makefile.inc", "bench_"), "bench/": ("bench/Makefile.inc", "bench"),
    "./autogen.sh": ("scripts/check", "autogen.sh"), "sudo apt-get build-dep": ("tests/package.sh", "apt-get build-dep"),
    "sudo sed": ("docs/getting-started.md", "# sed -i 's/^#role: appliance/role: appliance/'"),
    "kubectl apply -k deploy/overlays/demo": ("tests/integration/test_kubernetes_deploy.py", '"demo"'),
    "kubectl describe": ("tests/integration/test_kubernetes_deploy.py", "events"),
    "apt install prometheus": ("docs/getting-started.md", "# apt install ./kvass_*.deb prometheus"),
    "apt install polkitd dbus": ("tests/package.sh", "polkitd"),
    "curl -s http://127.0.0.1:9089/api/v1/querier/config": ("docs/troubleshooting.md", "$ curl -s http://127.0.0.1:9089/api/v1/querier/config"),
    "kvass appliance --config.file=": ("tests/integration/harness.py", '"appliance"'),
    "kvass appliance --shard.type=process --shard.max-series=30000": ("scripts/demo.py", "30000"),
    "kvass coordinator --shard.type=http": ("tests/integration/test_coordinator_shards.py", 'shard_type="http"'),
    "kvass appliance --shard.type=k8s": ("deploy/overlays/appliance", "shard.type=k8s"),
    "kvass appliance --shard.server=agent": ("tests/integration/test_agents.py", "shard.server"), "kvass sidecar --shard.server=": ("tests/integration/test_agents.py", "shard.server"),
    "kvass coordinator --split.max-parts=": ("tests/integration/test_giants.py", "split.max-parts"), "kvass count --parts=": ("tests/integration/test_count_command.py", "--parts"),
    "kvass simulate --sample=30m bench/scale.scn": ("scripts/long", "simulate --sample=30m bench/scale.scn"),
    "kvass plan --normalise": ("tests/integration/test_manuals.py", "plan"),
    "kvass check config /etc/prometheus/prometheus.yml": ("docs/getting-started.md", "$ kvass check config /etc/prometheus/prometheus.yml"),
}
COMMAND = r"(?:sudo |env )*(?:systemctl|journalctl|kvass|apt|apt-get|adduser|sed|kubectl|curl|promtool|make|(?:\./)?scripts/|bench/|\./)[^`\n]*"


def loose_commands(text):
    """Indented lines and inline words that are commands, outside of fenced blocks."""
    text = re.sub(r"(?ms)^```.*?^```$", "", text)
    found = re.findall(rf"(?m)^    ({COMMAND})$", text)
    found += [c for c in re.findall(rf"`({COMMAND})`", text) if " " in c]
    return [c.partition("  ")[0].partition(" && ")[0].strip() for c in found]


def is_shown(command, shown):
    """In a console block, or named above; `kvass get shards` and `kvass check config FILE` speak of a command, which must exist."""
    if command.endswith(" --help"):  # test_get_command.py asks each
        return True
    if any(command.startswith(k) for k in ELSEWHERE) or any(command in s for s in shown):
        return True
    words = [w for w in command.split() if not re.fullmatch(r"[A-Z.a-z]*[A-Z]{3,}[A-Z.a-z]*|\|", w)]
    return words[0] == "kvass" and not any(w.startswith("-") for w in words) and " ".join(words) in HELP


HELP = " ".join(f"kvass {line.split('   ')[0].strip()}" for line in subprocess.run(
    [KVASS, "help"], stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout.splitlines()
    if line.startswith("  ")) + " kvass config show kvass config check kvass get shards kvass get targets kvass get why"


def test_commands_in_prose_are_run_somewhere():
    shown = [line[2:] for n in documents() for block in re.findall(r"(?ms)^```(?:console|daemon)\n(.*?)^```$", read(os.path.join(DOCS, n)))
             for line in block.splitlines() if line[:2] in ("$ ", "# ")]
    missing = [(n, c) for n in [*(f"docs/{d}" for d in documents()), "README.md"] for c in loose_commands(read(os.path.join(SOURCE, n)))
               if not is_shown(c, shown)]
    assert missing == []
    for command, (path, words) in ELSEWHERE.items():
        path = os.path.join(SOURCE, path)
        if not os.path.exists(path) and not os.path.exists(os.path.join(SOURCE, ".git")):
            continue  # not in the release's archive
        files = [path] if os.path.isfile(path) else [os.path.join(path, n) for n in os.listdir(path)]
        assert any(words in read(f) for f in files), command


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
