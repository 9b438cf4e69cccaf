"""What config reloaders do in the pods of Kvass 0.3: copy the file of a ConfigMap to where the others read it, and again when it changes."""
import os
import sys
import time

options = dict(a.lstrip("-").split("=", 1) for a in sys.argv[1:] if "=" in a)
source = options.get("config-file") or options.get("reloader.config-file")
target = options.get("config-envsubst-file") or options.get("reloader.config-envsubst-file")
before = None
while True:
    try:
        with open(source) as f:
            text = f.read()
    except OSError:
        text = before
    if text != before and text is not None:
        with open(target + ".new", "w") as f:
            f.write(text)
        os.replace(target + ".new", target)
        before = text
    time.sleep(1)
