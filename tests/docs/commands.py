"""Runs the commands of the fenced `console` blocks of a document, in order, in one machine's state: `commands.py FILE`. A line that
begins with '$ ' or '# ' is a command and must succeed; lines below it are patterns its output must match one after the other, '...' standing for
anything. Meant for a sandbox (tests/integration/test_docs.py) or a machine of its own (tests/package.sh)."""
import fnmatch
import os
import re
import subprocess
import sys
import time


def blocks(text):
    """[(command, [patterns])]"""
    found = []
    for block in re.findall(r"(?ms)^```console\n(.*?)^```$", text):
        for line in block.splitlines():
            if line[:2] in ("$ ", "# "):
                found.append((line[2:], []))
            elif line.strip():
                found[-1][1].append(line)
    return found


def matches(patterns, output):
    lines, at = output.splitlines(), 0
    for pattern in patterns:
        glob = re.sub(r"([\[\]?*])", r"[\1]", pattern).replace("...", "*")
        glob = glob if glob.endswith("*") else glob + "*"
        while at < len(lines) and not fnmatch.fnmatchcase(lines[at], glob):
            at += 1
        if at == len(lines):
            return False
        at += 1
    return True


def run(command, patterns):
    """What is shown may take a moment (a shard that starts): asked again for a while when it only shows."""
    deadline = time.monotonic() + float(os.environ.get("DOCS_PATIENCE", "60"))
    asks = re.match(r"(\S+=\S+ )?(kvass (get|check|config show)|curl|tail|grep|cat)\b", command)
    while True:
        done = subprocess.run(["bash", "-o", "pipefail", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              timeout=240, stdin=subprocess.DEVNULL, check=False)
        if done.returncode == 0 and matches(patterns, done.stdout):
            return None
        if not asks or time.monotonic() > deadline:
            return f"status {done.returncode}, wanted {patterns}, output:\n{done.stdout}"
        time.sleep(1)


def main(path):
    with open(path) as f:
        commands = blocks(f.read())
    for command, patterns in commands:
        wrong = run(command, patterns)
        print(("ok: " if wrong is None else "FAILED: ") + command, flush=True)
        if wrong is not None:
            print(wrong)
            sys.exit(1)
    print(f"{len(commands)} commands")
    sys.exit(0 if commands else 1)


if __name__ == "__main__":
    main(sys.argv[1])
