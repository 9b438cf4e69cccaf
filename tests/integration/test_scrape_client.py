"""Client settings of scrape jobs against real servers (nginx with client certificates, tinyproxy), with Prometheus as the oracle:
the same job scraped directly and through kvass has the same outcome."""
import os
import shutil
import subprocess

import pytest
from harness import Prometheus, Process, config, free_ports, http, query, static_job, wait_for, write


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_certificates(d):
    for name in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{d}/{name}.key",
                "-out", f"{d}/{name}.crt")
    for name, alt in (("server", "DNS:metrics.example,IP:127.0.0.1"), ("client", "DNS:client")):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-keyout", f"{d}/{name}.key", "-out", f"{d}/{name}.csr")
        write(f"{d}/{name}.ext", f"subjectAltName={alt}\n")
        openssl("x509", "-req", "-in", f"{d}/{name}.csr", "-CA", f"{d}/ca.crt", "-CAkey", f"{d}/ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", f"{d}/{name}.ext", "-out", f"{d}/{name}.crt")


NGINX = """daemon off; worker_processes 1; pid {d}/nginx.pid; error_log {d}/error.log;
events {{ worker_connections 200; }}
http {{
    access_log off; client_body_temp_path {d}/b; proxy_temp_path {d}/p; fastcgi_temp_path {d}/f; uwsgi_temp_path {d}/u; scgi_temp_path {d}/s;
    ssl_certificate {d}/server.crt; ssl_certificate_key {d}/server.key; default_type "text/plain; version=0.0.4";
    root {d}/www;
    server {{ listen 127.0.0.1:{tls} ssl http2; ssl_protocols TLSv1.2 TLSv1.3; }}
    server {{ listen 127.0.0.1:{mutual} ssl; ssl_client_certificate {d}/ca.crt; ssl_verify_client on; }}
    server {{ listen 127.0.0.1:{new} ssl; ssl_protocols TLSv1.3; }}
    server {{ listen 127.0.0.1:{plain}; location = /moved {{ return 302 https://127.0.0.1:{tls}/metrics; }}
              location = /around {{ return 301 /around; }} location = /near {{ return 307 /metrics; }} }}
}}
"""
TINYPROXY = 'Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 50\nPidFile "{d}/tiny.pid"\nLogFile "{d}/tiny.log"\nBasicAuth user pass\n'


def servers(world):
    d = os.path.join(world.directory, "servers")
    os.makedirs(d + "/www")
    make_certificates(d)
    write(d + "/www/metrics", "".join(f'm{{i="{i}"}} {i}\n' for i in range(40)))
    os.chmod(world.directory, 0o755)
    names = ["tls", "mutual", "new", "plain", "proxy", "dead"]
    ports = dict(zip(names, free_ports(len(names))))
    write(d + "/nginx.conf", ("" if os.geteuid() else "user root; ") + NGINX.format(d=d, **ports))
    nginx = Process(["nginx", "-c", d + "/nginx.conf"], d + "/nginx.log")
    world.started.append(nginx.stop)
    wait_for("nginx", 20, lambda: http(f"http://127.0.0.1:{ports['plain']}/metrics")[0] == 200)
    if shutil.which("tinyproxy"):
        write(d + "/tiny.conf", TINYPROXY.format(port=ports["proxy"], d=d))
        tiny = Process(["tinyproxy", "-d", "-c", d + "/tiny.conf"], d + "/tiny.out")
        world.started.append(tiny.stop)
        wait_for("tinyproxy", 20, lambda: http(f"http://127.0.0.1:{ports['proxy']}/")[0] >= 400)
    return d, ports


def make_jobs(d, ports, exporter):
    """{name: (job, up)}"""
    tls = {"scheme": "https"}
    ca = {"ca_file": d + "/ca.crt"}
    cert = {"cert_file": d + "/client.crt", "key_file": d + "/client.key"}
    write(d + "/password", "p\n")
    write(d + "/token", " tok \n")
    wants = {"basic": "Basic dTpw", "bearer": "Bearer tok", "token": "Token tok"}
    at = {k: [f"127.0.0.1:{p}"] for k, p in ports.items()}
    proxy = f"http://user:pass@127.0.0.1:{ports['proxy']}"
    jobs = {
        "ca": ("tls", {**tls, "tls_config": ca}, 1),
        "no ca": ("tls", tls, 0),
        "wrong ca": ("tls", {**tls, "tls_config": {"ca_file": d + "/other.crt"}}, 0),
        "insecure": ("tls", {**tls, "tls_config": {"insecure_skip_verify": True}}, 1),
        "http 1.1": ("tls", {**tls, "tls_config": ca, "enable_http2": False}, 1),
        "server name": ("tls", {**tls, "tls_config": {**ca, "server_name": "metrics.example"}}, 1),
        "wrong server name": ("tls", {**tls, "tls_config": {**ca, "server_name": "other.example"}}, 0),
        "max version": ("new", {**tls, "tls_config": {**ca, "max_version": "TLS12"}}, 0),
        "min version": ("new", {**tls, "tls_config": {**ca, "min_version": "TLS13"}}, 1),
        "client certificate": ("mutual", {**tls, "tls_config": {**ca, **cert}}, 1),
        "no client certificate": ("mutual", {**tls, "tls_config": ca}, 0),
        "http to https": ("tls", {"tls_config": ca}, 0),
        "redirect": ("plain", {"metrics_path": "/near"}, 1),
        "redirect to https": ("plain", {"metrics_path": "/moved", "tls_config": ca}, 1),
        "redirect not followed": ("plain", {"metrics_path": "/near", "follow_redirects": False}, 0),
        "round and round": ("plain", {"metrics_path": "/around"}, 0),
        "dead proxy": ("plain", {"proxy_url": f"http://127.0.0.1:{ports['dead']}"}, 0),
    }
    if shutil.which("tinyproxy"):
        jobs["proxy"] = ("plain", {"proxy_url": proxy}, 1)
        jobs["proxy without password"] = ("plain", {"proxy_url": proxy.replace("user:pass@", "")}, 0)
        jobs["tunnel"] = ("tls", {**tls, "tls_config": ca, "proxy_url": proxy}, 1)
        jobs["redirect into a tunnel"] = ("plain", {"metrics_path": "/moved", "tls_config": ca, "proxy_url": proxy}, 1)
    made = {name: (static_job(name, at[where], **keys), up) for name, (where, keys, up) in jobs.items()}
    asks = {
        "basic": ({"basic_auth": {"username": "u", "password": "p"}}, "basic", 1),
        "basic file": ({"basic_auth": {"username": "u", "password_file": d + "/password"}}, "basic", 1),
        "basic wrong": ({"basic_auth": {"username": "u", "password": "q"}}, "basic", 0),
        "basic no file": ({"basic_auth": {"username": "u", "password_file": d + "/none"}}, "basic", 0),
        "bearer": ({"bearer_token": "tok"}, "bearer", 1),
        "bearer file": ({"bearer_token_file": d + "/token"}, "bearer", 1),
        "authorization": ({"authorization": {"credentials_file": d + "/token"}}, "bearer", 1),
        "authorization type": ({"authorization": {"type": "Token", "credentials": "tok"}}, "token", 1),
        "none": ({}, "bearer", 0),
    }
    for name, (keys, want, up) in asks.items():
        made[name] = (static_job(name, exporter, params={"authorization": [wants[want]]}, **keys), up)
    return made


@pytest.mark.skipif(not shutil.which("nginx"), reason="needs nginx")
def test_each_setting_ends_as_in_prometheus(world):
    d, ports = servers(world)
    _, exporter = world.exporter("--series=40")
    jobs = make_jobs(d, ports, exporter)
    world.configure([job for job, _ in jobs.values()], interval="3s")
    direct = Prometheus(os.path.join(world.directory, "direct"), os.path.join(world.directory, "prometheus.yml"))
    world.started.append(direct.stop)
    direct.wait_ready()
    kvass = world.appliance("--shard.max-series=60000").wait_ready()
    want = {name: str(up) for name, (_, up) in jobs.items()}

    def ups(url):
        return {m["job"]: v for m, v in query(url, "up")}

    wait_for("Prometheus' own verdicts", 60, lambda: ups(direct.url) == want)
    wait_for("all placed", 60, lambda: kvass.shards() and all(t["shards"] for t in kvass.targets()) and len(kvass.targets()) == len(jobs))
    through = kvass.shards()[0]["prometheusUrl"]
    try:
        wait_for("the same through kvass", 60, lambda: ups(through) == want)
    finally:
        print({k: (v, next((t["lastError"] for t in kvass.targets(k)), "")) for k, v in ups(through).items() if v != want[k]})
    samples = {m["job"]: v for m, v in query(through, "scrape_samples_scraped") if want[m["job"]] == "1"}
    assert samples == {m["job"]: v for m, v in query(direct.url, "scrape_samples_scraped") if want[m["job"]] == "1"}
    # Files are read again when they change, and certificates with them.
    write(d + "/token", "new")
    wait_for("the changed token to be refused", 60, lambda: ups(through)["bearer file"] == "0" and ups(direct.url)["bearer file"] == "0")
    write(d + "/token", "tok")
    shutil.copy(d + "/ca.crt", d + "/ca.kept")
    shutil.copy(d + "/other.crt", d + "/ca.new")
    os.rename(d + "/ca.new", d + "/ca.crt")
    wait_for("the changed CA to be refused", 60, lambda: ups(through)["http 1.1"] == "0" or ups(through)["ca"] == "0")
    os.rename(d + "/ca.kept", d + "/ca.crt")
    wait_for("all as before", 60, lambda: ups(through) == want)
