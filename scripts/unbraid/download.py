"""Getting files from elsewhere: by URL, resumed where it stopped, and out of npm and Python packages. Used by `fetch` only."""

import errno
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import requests
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential

from unbraid.errors import UnavailableError
from unbraid.files import sha256

TIMEOUT = (10.0, 60.0)  # seconds to connect, and between two pieces of the answer
WAIT = wait_exponential(multiplier=1, max=30)  # seconds: 1, 2, 4, …
BLOCK = 1 << 14  # bytes; what of a block has come when the connection is cut is lost
CLIENT_SECONDS = 3600.0
NPM_PATIENCE = "--fetch-timeout=1800000"  # ms for the whole package: npm's 5 minutes are short for 100 MB

Log = Callable[[str], None]


class InterruptedDownloadError(Exception):
    """A download that stopped on its way; trying again may help."""


class _NoAnswerError(InterruptedDownloadError):
    """Nothing answered at all: mostly no network, so not worth many attempts."""


def file_name(url: str) -> str:
    """The name under which a URL's file is kept."""
    return Path(urlsplit(url).path).name


def tarball_name(package: str) -> str:
    """The name that `npm pack` gives a package's tarball: "@a/b@1.0" → "a-b-1.0.tgz"."""
    name, _, version = package.rpartition("@")
    return f"{name.removeprefix('@').replace('/', '-')}-{version}.tgz"


def check(path: Path, digest: str) -> str:
    """The sha256 of a file. Raises UnavailableError unless it starts with `digest`."""
    found = sha256(path)
    if not found.startswith(digest):
        raise UnavailableError(f"its sha256 is {found[:16]}… and should be {digest[:16]}…")
    return found


def download(url: str, target: Path, digest: str, log: Log) -> None:
    """Get `url` into `target`, going on where an earlier attempt stopped if the server can.

    digest: the sha256 of the file, or how it starts; empty when it is not known.

    What is there is kept when the network fails, for the next attempt or run. A file of the wrong sha256 is deleted.
    Raises: UnavailableError, or OSError when the file cannot be written.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if not digest:  # nothing could tell whether what an earlier run left is of the same file
        target.unlink(missing_ok=True)
    _retrying(file_name(url), log, lambda: _once(url, target, digest, log))


def _retrying(what: str, log: Log, attempt: Callable[[], None]) -> None:
    retrying = Retrying(
        retry=retry_if_exception_type(InterruptedDownloadError),
        wait=WAIT,
        stop=_enough,
        before_sleep=lambda state: log(f"{what}: {_reason(state)}; trying again."),
        reraise=True,
    )
    try:
        retrying(attempt)
    except InterruptedDownloadError as error:
        raise UnavailableError(str(error)) from error


def _enough(state: RetryCallState) -> bool:
    error = state.outcome.exception() if state.outcome else None
    return state.attempt_number >= (3 if isinstance(error, _NoAnswerError) else 6)


def _reason(state: RetryCallState) -> str:
    return str(state.outcome.exception()) if state.outcome else ""


def _once(url: str, target: Path, digest: str, log: Log) -> None:
    have = target.stat().st_size if target.exists() else 0
    if have and digest and sha256(target).startswith(digest):
        return
    # Compressed transfer would make the sizes of file and answer differ.
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            resumed = _resumed(response, have, target)
            _receive(response, target, have if resumed else 0, log)
    except (requests.ConnectionError, requests.Timeout) as error:
        raise _NoAnswerError(f"no answer ({_root_cause(error)})") from error
    except requests.RequestException as error:
        raise UnavailableError(_root_cause(error)) from error
    try:
        check(target, digest)
    except UnavailableError as error:
        target.unlink()
        if resumed:  # the two parts may be of two different files: once more from the start
            raise InterruptedDownloadError(str(error)) from error
        raise


def _resumed(response: requests.Response, have: int, target: Path) -> bool:
    """Whether the answer goes on where the file ends. Raises for every answer that is no file."""
    if response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        return True
    if response.status_code in (206, 416):
        target.unlink(missing_ok=True)  # another stretch than asked for, or none left: it is of another version
        raise InterruptedDownloadError(f"the server cannot go on at byte {have}")
    if response.status_code >= 500 or response.status_code in (408, 429):
        raise InterruptedDownloadError(f"the server answers {response.status_code} {response.reason}")
    if response.status_code != 200:
        raise UnavailableError(f"the server answers {response.status_code} {response.reason}")
    return False


def _receive(response: requests.Response, target: Path, have: int, log: Log) -> None:
    length = int(response.headers.get("Content-Length") or 0)
    total, told = have + length, have
    with open(target, "ab" if have else "wb") as file:
        try:
            for block in response.iter_content(BLOCK):
                file.write(block)
                have += len(block)
                if length and have - told >= total / 10:
                    told = have
                    log(f"{target.name}: {have / 1e6:.0f} of {total / 1e6:.0f} MB")
        except requests.RequestException as error:
            raise InterruptedDownloadError(f"the connection was cut after {have} bytes") from error
    if length and have < total:
        raise InterruptedDownloadError(f"the connection was cut after {have} of {total} bytes")


def _root_cause(error: BaseException) -> str:
    """The innermost reason: requests wraps a plain "connection refused" in several layers of addresses."""
    while inner := (error.__cause__ or error.__context__):
        error = inner
    return f"{type(error).__name__}: {error}"[:200]


def wheel_name(package: str) -> str:
    """The name of a package's wheel, when it is pure Python: "some-thing==1.0" → "some_thing-1.0-py3-none-any.whl"."""
    name, _, version = package.partition("==")
    return f"{re.sub(r'[-_.]+', '_', name)}-{version}-py3-none-any.whl"


def pip_download(package: str, folder: Path, digest: str, log: Log) -> Path:
    """Get the wheel of a Python package (`name==version`) into `folder`.

    pip itself finds the registry; of the package nothing is run or installed.
    Raises: UnavailableError, or OSError when the file cannot be written.
    """
    wheel = folder / wheel_name(package)
    if wheel.exists() and sha256(wheel).startswith(digest):
        return wheel
    if importlib.util.find_spec("pip") is None:
        raise UnavailableError("pip is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "download", *options, f"--dest={folder.resolve()}", package]
    log(f"Getting the Python package {package}.")
    try:
        _retrying(f"pip download {package}", log, lambda: _run(command, folder, "pip", r"ERROR:", "No matching"))
        check(wheel, digest)
    except (UnavailableError, FileNotFoundError):
        wheel.unlink(missing_ok=True)
        raise
    return wheel


def npm_pack(package: str, folder: Path, digest: str, log: Log) -> Path:
    """Get the tarball of an npm package (`name@version`) into `folder`.

    npm itself finds the registry; of the package nothing is run or installed.
    Raises: UnavailableError, or OSError when the file cannot be written.
    """
    tarball = folder / tarball_name(package)
    if tarball.exists() and sha256(tarball).startswith(digest):
        return tarball
    npm = shutil.which("npm")
    if npm is None:
        raise UnavailableError("npm is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    cache = folder / "npm-cache"  # on the same disk and gone afterwards, instead of 100 MB in the user's home
    options = ["--ignore-scripts", "--no-update-notifier", "--loglevel=error", "--fetch-retries=0", NPM_PATIENCE]
    command = [npm, "pack", package, f"--pack-destination={folder.resolve()}", f"--cache={cache.resolve()}", *options]
    log(f"Getting the npm package {package}.")
    try:
        _retrying(f"npm pack {package}", log, lambda: _run(command, folder, "npm", r"npm (error|ERR!)", "E404"))
        check(tarball, digest)
    except (UnavailableError, FileNotFoundError):
        tarball.unlink(missing_ok=True)
        raise
    finally:
        shutil.rmtree(cache, ignore_errors=True)
    return tarball


def _run(command: list[str], folder: Path, client: str, mark: str, missing: str) -> None:
    """Run a package client. mark: what its lines about an error begin with; missing: what it says when there is no such."""
    try:
        # From its own folder, so that a package.json or .npmrc of the working directory does not matter.
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=CLIENT_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"{client} did not finish within {CLIENT_SECONDS:.0f} s") from error
    if done.returncode == 0:
        return
    lines = [re.sub(rf"^{mark}", "", line).strip() for line in done.stderr.splitlines() if not line.startswith("WARN")]
    reason = (
        "; ".join(line for line in lines if line and not line.startswith("at "))[:200] or f"exit code {done.returncode}"
    )
    if "ENOSPC" in done.stderr or "No space left" in done.stderr:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    raise (UnavailableError if missing in done.stderr else _NoAnswerError)(f"{client} failed ({reason})")


def extract(package: Path, member: str, folder: Path) -> Path:
    """Write one member of a tarball or wheel into `folder`, under its last name; nothing else is unpacked.

    Raises: UnavailableError when it is not there or no plain file.
    """
    target = folder / Path(member).name
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with ExitStack() as files:
            if package.suffix == ".whl":
                source = files.enter_context(files.enter_context(zipfile.ZipFile(package)).open(member))
            else:
                archive = files.enter_context(tarfile.open(package))
                extracted = archive.extractfile(archive.getmember(member))
                if extracted is None:
                    raise KeyError(member)
                source = files.enter_context(extracted)
            shutil.copyfileobj(source, files.enter_context(open(target, "wb")))
    except (KeyError, tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise UnavailableError(f"it has no readable file {member} ({type(error).__name__})") from error
    return target
