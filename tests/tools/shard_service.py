#!/usr/bin/python3
"""A reference shard service for --shard.type=http (docs/shard-http.md): it lists shards whose URLs are given as arguments and
"scales" by showing more or fewer of them.

    shard_service.py PORT URL...        GET / lists, PUT / takes {"wanted": N, "reason": "..."}
"""
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Service:
    def __init__(self, urls, wanted=1):
        self.urls, self.wanted, self.puts = urls, wanted, []
        self.ready = {}  # ordinal: false while it starts

    def listing(self):
        shards = [{"id": f"svc-{i}", "url": url, "group": i, "ready": self.ready.get(i, True)}
                  for i, url in enumerate(self.urls[:self.wanted])]
        return {"wanted": self.wanted, "shards": shards}

    def put(self, body):
        request = json.loads(body)
        wanted = request["wanted"]
        if not isinstance(wanted, int) or not 0 <= wanted <= len(self.urls):
            return 409, {"error": f"there are {len(self.urls)} shards at most"}
        self.puts.append((wanted, request.get("reason", "")))
        self.wanted = wanted
        return 202, {"wanted": wanted}


def serve(service, port=0):
    """A running server; the caller shuts it down."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def answer(self, status, data):
            body = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.answer(200, service.listing())

        def do_PUT(self):
            self.answer(*service.put(self.rfile.read(int(self.headers.get("Content-Length", 0)))))

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    return server


if __name__ == "__main__":
    serve(Service(sys.argv[2:]), int(sys.argv[1])).serve_forever()
