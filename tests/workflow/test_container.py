"""envs/Dockerfile, without an engine: what it copies is enough to run, and it installs what a machine of one's own would."""

import re
import shutil
import subprocess
import sys

from flow import HOME, Desk, noise, write

LINES = (HOME / "envs/Dockerfile").read_text().replace("\\\n", " ").splitlines()
STARTS = [number for number, line in enumerate(LINES) if line.startswith("FROM ")]
STAGES = [LINES[start:end] for start, end in zip(STARTS, [*STARTS[1:], None], strict=True)]


def instructions(word, stage="unbraid"):
    """Of a stage of the build, without the stage that it begins with."""
    (lines,) = (part for part in STAGES if part[0].endswith(f" AS {stage}"))
    return [line.removeprefix(word).split() for line in lines if line.startswith(f"{word} ")]


def test_what_it_copies_separates_a_song(tmp_path):
    image, folder = tmp_path / "image", tmp_path / "music"
    for *sources, target in instructions("COPY"):
        place = image / target.lstrip("/")
        for source in sources:
            if (HOME / source).is_dir():
                shutil.copytree(HOME / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(HOME / source, place)
    write(folder / "songs/one.wav", noise(1))
    (entry,) = (re.findall(r'"([^"]+)"', " ".join(words)) for words in instructions("ENTRYPOINT"))
    program, *rest = entry
    command = [sys.executable, "-m", program, *(str(image / word[1:]) if word[0] == "/" else word for word in rest)]
    done = subprocess.run(
        [*command, "--cores", "2", "--config", "recipe=identity"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    desk = Desk(tmp_path / "here")
    write(desk.songs / "one.wav", noise(1))
    desk.good()
    assert (folder / "results/one/copy.wav").read_bytes() == (desk.path / "results/one/copy.wav").read_bytes()
    assert (folder / "results/one/index.html").exists()


def test_it_installs_what_the_makefile_does():
    (run,) = (" ".join(words) for words in instructions("RUN"))
    made = (HOME / "Makefile").read_text()
    (package,) = re.findall(r"audio-separator==[\d.]+", run)
    assert package in made
    assert "--requirement /unbraid/requirements.txt" in run


def test_its_python_is_one_that_the_project_is_tested_with():
    ((image, *_),) = instructions("FROM")
    assert re.fullmatch(r"python:3\.1[1-9]-slim-\w+", image)


def test_a_pod_installs_from_its_image_what_it_asks_for_when_it_starts():
    (run,) = (" ".join(words) for words in instructions("RUN", "pod"))
    ((*variables,),) = instructions("ENV", "pod")
    wheels = re.findall(r"--wheel-dir (\S+) --requirement /unbraid/envs/requirements-kubernetes.txt", run)
    assert {"PIP_NO_INDEX=1", f"PIP_FIND_LINKS={wheels[0]}"} == set(variables)


def test_what_is_built_without_a_word_is_no_pod():
    assert STAGES[-1] == ["FROM unbraid"]
