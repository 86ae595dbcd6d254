import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from unbraid.errors import UnbraidError
from unbraid.files import Overtaken
from unbraid.job import STOPS, job, log, say, took


def run(tmp_path, error=None, **options):
    """The exit code, the log's text and the traceback's text of a job that raises `error`."""
    path = tmp_path / "logs" / "job.log"
    code = 0
    try:
        with job(str(path), "merge", "my song", **options):
            log.info("a detail")
            log.warning("a warning")
            if error:
                raise error
    except SystemExit as end:
        code = end.code
    trace = path.with_name("job.log.traceback.txt")
    return code, path.read_text(), trace.read_text() if trace.exists() else None


def test_messages_go_to_the_log_and_only_warnings_to_the_terminal(tmp_path, capfd):
    code, text, trace = run(tmp_path)
    assert (code, trace) == (0, None)
    assert "INFO a detail" in text
    assert "WARNING a warning" in text
    terminal = capfd.readouterr().err
    assert "a warning" in terminal
    assert "a detail" not in terminal


def test_the_log_level_is_what_was_asked_for(tmp_path):
    assert "a detail" not in run(tmp_path, level="warning")[1]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UnbraidError("It is odd.", remedy="Even it."), "song 'my song', stage merge: It is odd. Even it."),
        (OSError(errno.ENOSPC, "No space left on device", "x.wav"), "The disk is full: x.wav. Free some space"),
        (PermissionError(errno.EACCES, "Permission denied", "x.wav"), "No permission: x.wav."),
        (
            Overtaken(errno.ENOENT, "meanwhile", "x.wav"),
            "Another job, which an earlier run has left, made x.wav meanwhile.",
        ),
        (soundfile.LibsndfileError(1), "An audio file between two stages is damaged or cannot be written"),
        (MemoryError(), "The memory of this machine ran out."),
        (ValueError("strange"), "An unexpected ValueError: strange. This is a defect of unbraid"),
    ],
)
def test_an_error_is_one_paragraph_and_its_traceback_a_file_beside_the_log(tmp_path, capfd, error, message):
    code, text, trace = run(tmp_path, error)
    terminal = capfd.readouterr().err
    assert code == 1
    for shown in (text, terminal):
        assert message in shown
        assert "song 'my song', stage merge" in shown
        assert "Traceback" not in shown
    assert "Traceback" in trace


def test_a_song_and_stage_that_the_error_knows_are_kept(tmp_path):
    text = run(tmp_path, UnbraidError("W.", remedy="R.", song="other", stage="convert"))[1]
    assert "song 'other', stage convert: W. R." in text


def test_a_traceback_of_an_earlier_run_is_removed(tmp_path):
    run(tmp_path, ValueError())
    assert run(tmp_path)[2] is None


def test_ctrl_c_ends_with_130_and_says_so(tmp_path, capfd):
    code, text, trace = run(tmp_path, KeyboardInterrupt())
    assert (code, trace) == (130, None)
    assert "my song: stopped" in text


def test_sigterm_ends_a_job_like_ctrl_c(tmp_path):
    program = (
        "import os, signal, sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from unbraid.files import replacing\n"
        "from unbraid.job import job\n"
        "with job(sys.argv[2] + '/j.log', 'convert'):\n"
        "    with replacing(sys.argv[2] + '/x') as partial:\n"
        "        partial.write_text('half')\n"
        "        os.kill(os.getpid(), signal.SIGTERM); time.sleep(10)\n"
    )
    scripts = str(Path(__file__).parents[2] / "scripts")
    done = subprocess.run([sys.executable, "-c", program, scripts, str(tmp_path)], stderr=subprocess.PIPE, timeout=30)
    assert done.returncode == 130
    assert os.listdir(tmp_path) == ["j.log"]


def test_a_job_that_is_stopped_is_not_stopped_again_while_it_tidies_up(tmp_path):
    program = (
        "import os, signal, sys, time; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from unbraid.job import job\n"
        "with job(sys.argv[2] + '/j.log', 'convert'):\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGINT); time.sleep(10)\n"
        "    finally:\n"
        "        os.kill(os.getpid(), signal.SIGTERM); os.kill(os.getpid(), signal.SIGINT)\n"
        "        Path(sys.argv[2], 'tidied').touch()\n"
    )
    scripts = str(Path(__file__).parents[2] / "scripts")
    done = subprocess.run([sys.executable, "-c", program, scripts, str(tmp_path)], stderr=subprocess.PIPE, timeout=30)
    assert done.returncode == 130
    assert sorted(os.listdir(tmp_path)) == ["j.log", "tidied"]


def test_a_job_in_a_scripts_background_which_ctrl_c_does_not_reach_goes_on(tmp_path):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with job(str(tmp_path / "j.log"), "convert"):
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_IGN, signal.SIG_DFL)


def test_what_is_said_reaches_terminal_and_log(tmp_path, capfd):
    path = tmp_path / "job.log"
    with job(str(path), "model"):
        say("The licence.")
    assert "The licence." in capfd.readouterr().err
    assert "The licence." in path.read_text()


@pytest.fixture(autouse=True)
def _restore_signals():
    before = {number: signal.getsignal(number) for number in STOPS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_log_tells_how_long_its_job_took_if_it_ended_well(tmp_path):
    good, bad = tmp_path / "good.log", tmp_path / "bad.log"
    with job(str(good), "convert"):
        pass
    with pytest.raises(SystemExit), job(str(bad), "convert"):
        raise UnbraidError("no")
    assert 0 <= took(good) < 10
    assert took(bad) is None
    assert took(tmp_path / "none.log") is None
