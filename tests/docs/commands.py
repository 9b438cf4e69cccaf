"""Runs the commands of the fenced `console` blocks of a document, in order, in one machine's state: `commands.py FILE`. A line that
begins with '$ ' or '# ' is a command and must succeed; lines below it are patterns its output must match one after the other, '...' standing for
anything. A line that ends with a backslash goes on in the next. Commands of `daemon` blocks are started and must still run in the end. Meant for a sandbox (tests/integration/test_docs.py) or a machine of its own (tests/package.sh)."""
import fnmatch
import os
import re
import subprocess
import sys
import tempfile
import time


def blocks(text):
    """[(command, [patterns])]; patterns are None for a daemon."""
    found = []
    for kind, block in re.findall(r"(?ms)^```(console|daemon)\n(.*?)^```$", text):
        for line in block.replace("\\\n", "").splitlines():
            if line[:2] in ("$ ", "# "):
                found.append((line[2:], [] if kind == "console" else None))
            elif line.strip():
                found[-1][1].append(line)
    return found


def start(command):
    """A daemon of the document; its output goes to a file."""
    log = tempfile.TemporaryFile()
    return command, log, subprocess.Popen(["bash", "-c", "exec " + command], stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def ended(command, log, child):
    """Why a daemon does not run any more, or None."""
    if child.poll() is None:
        return None
    log.seek(0)
    return f"status {child.returncode}: {command}: {log.read().decode(errors='replace')[-2000:]}"


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
    asks = re.match(r"(\S+=\S+ )?(kvass (get|check|config show)|curl|tail|grep|cat|systemctl status|journalctl)\b", command)
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
    daemons = []
    for command, patterns in commands:
        if patterns is None:
            daemons.append(start(command))
        wrong = run(command, patterns) if patterns is not None else None
        wrong = next(filter(None, [wrong, *(ended(*d) for d in daemons)]), None)
        print(("ok: " if wrong is None else "FAILED: ") + command, flush=True)
        if wrong is not None:
            print(wrong)
            sys.exit(1)
    for _, _, child in daemons:
        child.terminate()
        child.wait(60)
    print(f"{len(commands)} commands")
    sys.exit(0 if commands else 1)


if __name__ == "__main__":
    main(sys.argv[1])
