"""A stand-in for Kubernetes: what snakemake-executor-plugin-kubernetes asks of its interface, pods being processes here.

A pod is the container's command in an empty folder, with the variables of the run's secret, and as `python` the one of the
tests: they are its image, which has all that it would install.
"""

import base64
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Cluster:
    """Secrets, and jobs of one pod each. folder: of the pods' working directories. doomed: how many of the next pods are lost."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secrets: dict[str, dict[str, str]] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, subprocess.Popen[bytes]] = {}
        self.doomed = 0
        self.image = folder / "image"
        self.image.mkdir(parents=True)
        for program, does in (("python", f'exec {shlex.quote(sys.executable)} "$@"'), ("pip", "true")):
            (self.image / program).write_text(f"#!/bin/sh\n{does}\n")
            (self.image / program).chmod(0o755)

    def create(self, job: dict[str, Any]) -> None:
        name = job["metadata"]["name"]
        (container,) = job["spec"]["template"]["spec"]["containers"]
        place = self.folder / name
        place.mkdir()
        variables = {"PATH": f"{self.image}{os.pathsep}{os.environ['PATH']}", "HOME": str(place)}
        for variable in container["env"]:
            reference = variable["valueFrom"]["secretKeyRef"]
            value = self.secrets[reference["name"]][reference["key"]]
            variables[variable["name"]] = base64.b64decode(value).decode()
        with open(place.with_suffix(".log"), "wb") as log:
            self.pods[name] = subprocess.Popen(
                [*container["command"], *container["args"]],
                cwd=place, env=variables, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self.jobs[name] = job
        if self.doomed:
            self.doomed -= 1
            self.end(name)

    def status(self, name: str) -> dict[str, Any]:
        code = self.pods[name].poll()
        return {"metadata": {"name": name}, "status": {} if code is None else {"failed" if code else "succeeded": 1}}

    def pod(self, name: str) -> dict[str, Any]:
        code = self.pods[name].poll()
        state = {"running": {}} if code is None else {"terminated": {"exitCode": code}}
        status = {"name": "snakemake", "state": state, "image": "", "imageID": "", "ready": False, "restartCount": 0}
        return {"metadata": {"name": f"{name}-pod"}, "status": {"containerStatuses": [status]}}

    def log(self, pod: str) -> str:
        return (self.folder / f"{pod.removesuffix('-pod')}.log").read_text(errors="replace")

    def end(self, name: str) -> None:
        """All of its processes."""
        if name in self.pods:
            with suppress(ProcessLookupError):
                os.killpg(self.pods[name].pid, signal.SIGKILL)
            self.pods[name].wait()


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[Cluster, Path]]:
    """The cluster, and the file by which kubectl's kind of clients find it."""
    made = Cluster(folder)

    class Interface(BaseHTTPRequestHandler):
        def answer(self, content: Any, code: int = 200) -> None:
            body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Type", "text/plain" if isinstance(content, str) else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def told(self) -> dict[str, Any]:
            return dict(json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "{}"))

        def do_POST(self) -> None:
            told = self.told()
            if self.path.endswith("/secrets"):
                made.secrets[told["metadata"]["name"]] = told.get("data", {})
            else:
                made.create(told)
            self.answer(told, 201)

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            words = path.strip("/").split("/")
            if words[-1] == "status":
                self.answer(made.status(words[-2]))
            elif words[-1] == "log" and "previous=True" in query:
                self.answer(
                    {"message": "previous terminated container not found"}, 400
                )  # as of all that were started once
            elif words[-1] == "log":
                self.answer(made.log(words[-2]))
            else:
                name = query.partition("job-name%3D")[2]
                self.answer({"items": [made.pod(name)]})

        def do_DELETE(self) -> None:
            self.told()
            made.end(self.path.partition("?")[0].rpartition("/")[2])
            self.answer({"status": "Success"})

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Interface)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    where = {"name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [where],
        "users": [{"name": "me", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "current-context": "here",
    }
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(json.dumps(config))
    try:
        yield made, kubeconfig
    finally:
        server.shutdown()
        server.server_close()
        for name in made.pods:
            made.end(name)
