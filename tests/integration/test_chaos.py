"""A minute of chaos (chaos.py): kills, stops, restarts in every order, partitions, packet loss and full disks lose no sample that they need
not lose. KVASS_CHAOS_SECONDS and KVASS_CHAOS_SEED choose another length and order; scripts/long chaos runs it for 15 minutes."""
import os
import subprocess
import sys

from harness import PATIENCE, SOURCE

SECONDS = int(os.environ.get("KVASS_CHAOS_SECONDS", "60"))
SEED = int(os.environ.get("KVASS_CHAOS_SEED", "20261124"))


def test_nothing_is_lost(tmp_path):
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    path = os.path.join(SOURCE, "tests", "integration", "chaos.py")
    done = subprocess.run([*command, sys.executable, path, str(SECONDS), str(SEED), str(tmp_path)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
                          timeout=(SECONDS + 900) * PATIENCE)
    print(done.stdout)
    assert done.returncode == 0, done.stdout
