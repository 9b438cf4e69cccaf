"""Where Thanos would be in the overlay `thanos`: takes the arguments that are documented for its two roles, refuses others, and says that it
is ready once the Prometheus beside it answers (sidecar) or at once (query). It speaks no gRPC."""
import argparse
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer


def arguments():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    roles = parser.add_subparsers(dest="role", required=True)
    for role, own in (("sidecar", ("--tsdb.path", "--prometheus.url")), ("query", ("--endpoint", "--query.replica-label"))):
        p = roles.add_parser(role, allow_abbrev=False)
        for name in ("--http-address", *own):
            p.add_argument(name, required=True)
        p.add_argument("--grpc-address", default=":10901")
        p.add_argument("--query.auto-downsampling", action="store_true")
    return parser.parse_args()


def main():
    options = vars(arguments())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status = 200
            if options["role"] == "sidecar":
                try:
                    with urllib.request.urlopen(options["prometheus.url"] + "/-/ready", timeout=1):
                        pass
                except OSError:
                    status = 503
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    port = int(options["http_address"].rsplit(":", 1)[1])
    print(f"{options['role']} on port {port}", file=sys.stderr, flush=True)
    HTTPServer(("0.0.0.0", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
