"""Completion in bash and zsh: sourced as a shell does it, asked for words."""
import os
import subprocess

import pytest
from harness import BUILD, KVASS

BASH, ZSH = (os.path.join(BUILD, "etc/completion", name) for name in ("kvass.bash", "kvass.zsh"))
PATH = os.path.dirname(KVASS) + ":" + os.environ["PATH"]


def bash(*words):
    """The words offered for the last one; '=' stands apart, as bash splits it."""
    split = [p for w in words for p in ([w] if "=" not in w else [x for x in w.partition("=") if x])]
    script = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _kvass 2>/dev/null; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "--norc", "-c", script, "bash", BASH, *split], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=30, check=True, env={**os.environ, "PATH": PATH})
    assert done.stderr == "", done.stderr
    return done.stdout.split()


def zsh(*words):
    """The same through the zsh function, with the completion system's own commands replaced by ones that print."""
    script = """
compadd() { local p=$PREFIX a=(); while (( $# )); do case $1 in -S) shift 2;; --) shift; a+=("$@"); break;; -*) shift;; *) a+=($1); shift;; esac; done
  for w in $a; do [[ $w == $p* ]] && print -r -- $w; done; return 0 }
compset() { PREFIX=${PREFIX#*=} }
_files() { print -r -- @files "$@" }
file=$1; shift; words=("$@"); CURRENT=$#; PREFIX=${words[-1]}
source $file
"""
    done = subprocess.run(["zsh", "-f", "-c", script, "zsh", ZSH, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=30, check=False, env={**os.environ, "PATH": PATH})
    assert done.stderr == "", done.stderr
    return done.stdout.split()


SHELLS = pytest.mark.parametrize("ask", [bash, zsh])


def commands():
    lines = subprocess.run([KVASS, "help"], stdout=subprocess.PIPE, text=True, timeout=30, check=True).stdout.splitlines()
    return {line.split()[0] for line in lines if line.startswith("  ")}


def options(*command):
    text = subprocess.run([KVASS, *command, "--help"], stdout=subprocess.PIPE, text=True, timeout=30, check=True).stdout
    return {w for line in text.splitlines() if line.startswith("  --") for w in [line.split()[0].partition("=")[0].partition("[")[0]]}


@SHELLS
def test_commands(ask):
    assert set(ask("kvass", "")) == commands() | {"help"}
    assert ask("kvass", "si") in (["sidecar", "simulate"], ["simulate", "sidecar"])


@SHELLS
def test_second_words(ask):
    usage = subprocess.run([KVASS, "get", "--help"], stdout=subprocess.PIPE, text=True, timeout=30, check=True).stdout
    assert set(ask("kvass", "get", "")) == set(usage.split()[3].split("|"))
    assert set(ask("kvass", "check", "")) == {"config", "service-discovery"}
    assert set(ask("kvass", "config", "")) == {"show", "check"}
    assert set(ask("kvass", "help", "")) == commands()


@SHELLS
@pytest.mark.parametrize("role", ["appliance", "coordinator", "sidecar"])
def test_every_option_of_a_role(ask, role):
    assert {w.rstrip("=") for w in ask("kvass", role, "--")} == options(role) | {"--help"}


@SHELLS
@pytest.mark.parametrize("command", ["count", "get", "render", "plan", "simulate"])
def test_options_of_the_tools(ask, command):
    assert {w.rstrip("=") for w in ask("kvass", command, "--")} == options(command) | {"--help"}


@SHELLS
def test_options_of_check(ask):
    assert {w.rstrip("=") for w in ask("kvass", "check", "config", "--")} == options("check", "config") | {"--help"}


@SHELLS
def test_values(ask):
    assert set(ask("kvass", "appliance", "--shard.on-exit=")) == {"auto", "stop", "keep"}
    assert ask("kvass", "appliance", "--shard.type=sy") == ["systemd"]
    assert set(ask("kvass", "run", "--dry-run=")) == {"true", "false"}
    assert set(ask("kvass", "get", "shards", "-o", "")) == {"table", "json"}


def test_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prometheus.yml").touch()
    (tmp_path / "store").mkdir()
    assert bash("kvass", "check", "config", "prom") == ["prometheus.yml"]
    assert bash("kvass", "appliance", "--config.file=pr") == ["prometheus.yml"]
    assert bash("kvass", "appliance", "--store.path=") == ["store"]
    assert zsh("kvass", "appliance", "--store.path=") == ["@files", "-/"]
    assert zsh("kvass", "check", "config", "x") == ["@files"]
