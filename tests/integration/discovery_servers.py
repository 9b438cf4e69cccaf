"""Stand-ins for the servers of discovery mechanisms that a helper Prometheus runs: one HTTP server that speaks eureka, marathon,
puppetdb, ec2 and nomad, each about the same list of hosts."""
import http.server
import json
import threading


class DiscoveryServers:
    def __init__(self, hosts):
        self.hosts = list(hosts)
        self.failing = False
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length).decode()
                found = None if outer.failing else outer.route(self.path, body)
                kind, text = found or ("text/plain", "no")
                self.send_response(200 if found else 500)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_POST = answer

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = "http://127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def route(self, path, body):
        for name in ("eureka", "marathon", "puppetdb", "ec2", "nomad"):
            if path.startswith("/" + name):
                return getattr(self, name)(path, body)
        return None

    def eureka(self, path, body):
        rows = "".join(f"""<instance><hostName>{host}</hostName><app>A</app><ipAddr>{host}</ipAddr><status>UP</status>
            <port enabled="true">{port}</port><instanceId>i-{port}</instanceId><metadata><zone>z&amp;1</zone></metadata></instance>"""
                       for host, port in self.hosts)
        return "application/xml", f"<applications><application><name>A</name>{rows}</application></applications>"

    def marathon(self, path, body):
        apps = [{"id": "/a", "labels": {"team": "x y"}, "runningTasks": len(self.hosts), "tasks": [
            {"id": f"t-{port}", "host": host, "ports": [port]} for host, port in self.hosts],
            "portDefinitions": [{"labels": {"p": "1"}, "port": 0}]}]
        return "application/json", json.dumps({"apps": apps})

    def puppetdb(self, path, body):
        return "application/json", json.dumps([
            {"certname": host, "resource": f"r-{port}", "type": "Class", "title": "Node", "exported": False, "tags": ["a", "b"],
             "file": "/f", "environment": "prod", "parameters": {"port": port, "who": "é"}} for host, port in self.hosts])

    def ec2(self, path, body):
        if "DescribeAvailabilityZones" in body:
            return "text/xml", """<DescribeAvailabilityZonesResponse><availabilityZoneInfo><item><zoneName>z</zoneName>
                <zoneId>z-1</zoneId></item></availabilityZoneInfo></DescribeAvailabilityZonesResponse>"""
        rows = "".join(f"""<item><instanceId>i-{port}</instanceId><imageId>ami</imageId><instanceState><code>16</code><name>running</name>
            </instanceState><privateDnsName>d{port}</privateDnsName><privateIpAddress>{host}</privateIpAddress>
            <instanceType>t</instanceType><placement><availabilityZone>z</availabilityZone></placement>
            <tagSet><item><key>Port</key><value>{port}</value></item></tagSet></item>""" for host, port in self.hosts)
        return "text/xml", f"""<DescribeInstancesResponse><reservationSet><item><ownerId>1</ownerId><instancesSet>{rows}</instancesSet>
            </item></reservationSet></DescribeInstancesResponse>"""

    def nomad(self, path, body):
        if path.startswith("/nomad/v1/services"):
            return "application/json", json.dumps([{"Namespace": "default", "Services": [{"ServiceName": "s", "Tags": ["t"]}]}])
        return "application/json", json.dumps([
            {"ID": f"i-{port}", "ServiceName": "s", "Namespace": "default", "NodeID": "n", "Datacenter": "dc1", "JobID": "j",
             "AllocID": "a", "Tags": ["t"], "Address": host, "Port": port} for host, port in self.hosts])

    def entries(self):
        """{mechanism: its one entry}"""
        return {
            "eureka": {"server": self.url + "/eureka", "refresh_interval": "2s"},
            "marathon": {"servers": [self.url + "/marathon"], "refresh_interval": "2s"},
            "puppetdb": {"url": self.url + "/puppetdb", "query": "resources { }", "include_parameters": True, "port": 81,
                         "refresh_interval": "2s"},
            "ec2": {"endpoint": self.url + "/ec2", "region": "eu-1", "access_key": "key", "secret_key": "s3cr'\"et", "port": 82,
                    "refresh_interval": "2s"},
            "nomad": {"server": self.url + "/nomad", "refresh_interval": "2s"},
        }
