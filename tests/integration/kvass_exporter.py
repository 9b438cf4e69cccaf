"""Starts tests/tools/kvass-test-exporter for a test: `with Exporter() as e: e.url("/metrics?series=10")`."""

import json
import os
import subprocess
import urllib.request


class Exporter:
    def __init__(self, *options, listeners=1):
        binary = os.path.join(os.environ["top_builddir"], "tests/tools/kvass-test-exporter")
        arguments = ["--listen=127.0.0.1:0"] * listeners + list(options)
        self.process = subprocess.Popen([binary] + arguments, stdout=subprocess.PIPE, text=True)
        self.ports = []
        for _ in range(listeners):
            line = self.process.stdout.readline()
            assert line.startswith("listening on 127.0.0.1:"), line
            self.ports.append(int(line.rsplit(":", 1)[1]))
        self.port = self.ports[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(timeout=10)
        self.process.stdout.close()

    def url(self, path="/metrics", listener=0):
        return "http://127.0.0.1:%d%s" % (self.ports[listener], path)

    def control(self, query, listener=0):
        request = urllib.request.Request(self.url("/control?" + query, listener), method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 204

    def stats(self, targets=False):
        with urllib.request.urlopen(self.url("/stats" + ("?targets=1" if targets else "")), timeout=10) as answer:
            return json.load(answer)
