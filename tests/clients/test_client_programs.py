"""`fluxmock test-client -- COMMAND`, as a user runs it: what it takes, what it says of odd programs, how it is ended."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from contract_tests.clients.process import fast
from contract_tests.clients.process.check import TIMEOUT, WORKERS
from mock_server import cli

COMMANDS = Path(__file__).parent / "commands"
FLUXMOCK = [sys.executable, "-m", "mock_server"]
GENERATE = [sys.executable, "-S", str(COMMANDS / "generate.py"), "{base_url}", "{api_key}", "{prompt}"]
DRIVER = [sys.executable, "-S", str(COMMANDS / "driver.py")]


def test_client(*words: str) -> Result:
    return CliRunner().invoke(cli.cli, ["test-client", *words])


test_client.__test__ = False  # type: ignore[attr-defined]


def result_of(id_: str, *words: str) -> str:
    done = test_client("--property", id_, "--format", "json", *words)
    (found,) = json.loads(done.stdout)["properties"]
    return str(found["result"])


# -------------------------------------------------------------------------------------------------------------- edits


def test_a_driver_is_asked_for_edits_if_it_is_said_to_do_them() -> None:
    driver = ["--", sys.executable, str(COMMANDS / "edits.py")]
    assert result_of("C49", "--examples", "3", "--driver", "--edits", *driver) == "pass"
    assert result_of("C49", "--examples", "3", "--driver", *driver) == "not_exercised"


def test_the_command_that_a_failure_names_says_that_it_does_edits(tmp_path: Path) -> None:
    words = ["--speed", "40", "--edits", "--examples", "3", "--", *GENERATE, "orders-again"]
    done = test_client("--property", "C01", "--format", "json", *words)
    (found,) = json.loads(done.stdout)["properties"]
    assert "--edits" in found["again"].split(" -- ")[0].split()


def test_a_command_that_only_edits_is_always_given_a_picture(tmp_path: Path) -> None:
    """... whether it does not call without one, or sends an upload that has none."""
    for refuses in ("exit 2", ":"):
        script = (
            f'[ -f {{image}} ] || {refuses}; curl -sS -H "TT-API-KEY: $TT_API_KEY" -F prompt=cat -F mode=flux1-dev '
        )
        script += '-F "image=@${FLUXMOCK_IMAGE:-/dev/null}" {base_url}/flux/edits; exit 1'
        words = ["--examples", "3", "--save-scenarios", str(tmp_path), "--", "sh", "-c", script]
        assert result_of("C49", *words) == "pass"
        assert result_of("C51", *words) == "fail"
    (saved,) = tmp_path.iterdir()
    replayed = CliRunner().invoke(cli.cli, ["replay", str(saved), *words[4:]])
    assert "✗ C51" in replayed.output


def test_a_command_that_edits_at_the_wrong_place_is_told_what_it_was_answered() -> None:
    script = "[ -f {image} ] || exit 2; curl -sS -F image=@{image} {base_url}/flux/edit; exit 1"
    done = test_client("--examples", "2", "--", "sh", "-c", script)
    assert done.exit_code == 1
    assert "never called" not in done.output
    assert "POST /flux/edit" in done.output


def test_a_long_script_is_an_argument_and_no_file() -> None:
    done = test_client("--examples", "2", "--", "sh", "-c", f": {'x' * 5000}; exit 1")
    assert done.exit_code == 3
    assert "never called" in done.output


def test_a_file_in_the_current_folder_is_not_taken_for_a_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sh").write_text("no program")
    monkeypatch.chdir(tmp_path)
    assert test_client("--examples", "2", "--", "sh", "-c", "exit 1").exit_code == 3


def test_a_regression_of_a_command_is_a_test_that_pytest_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    client = tmp_path / "client.sh"
    client.write_text("curl -sS -H 'TT-API-KEY: x' $FLUXMOCK_BASE_URL/flux/fetch; exit 1\n")
    words = [
        "--property",
        "C14,C53",
        "--examples",
        "3",
        "--write-regression",
        "tests",
        "--speed",
        "4",
        "--timeout",
        "9",
    ]
    done = test_client(*words, "--", "sh", "client.sh", "\N{CAT FACE}")
    assert "wrote 1 test; to run: pytest tests" in done.stderr
    (written,) = tmp_path.glob("tests/test_*.py")
    pytest_ = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:asyncio",
        "-W",
        "error",
        written,
    ]
    monkeypatch.chdir("/")
    assert subprocess.run(pytest_, capture_output=True, timeout=60).returncode == 1
    client.write_text('curl -sS -H "TT-API-KEY: $TT_API_KEY" $FLUXMOCK_BASE_URL/flux/fetch?jobId=x; exit 1\n')
    assert subprocess.run(pytest_, capture_output=True, timeout=60).returncode == 0


def test_edits_are_declared_of_commands_only() -> None:
    done = test_client("client.py:generate", "--edits")
    assert done.exit_code == 2
    assert "--edits: for a command, which stands after --" in done.output


# ---------------------------------------------------------------------------------------------------------- what it says


def test_help_tells_what_a_command_is_told_and_what_is_usual() -> None:
    said = test_client("--help").output
    assert "\n  fluxmock test-client client.py:generate\n" in said  # a line of its own
    text = " ".join(said.split())
    for part in ("{base_url}", "{image}", "TT_API_KEY", "fluxmock test-client --driver -- python3 driver.py"):
        assert part in text
    assert f"after which it is ended. [default: {TIMEOUT:g}]" in text
    assert f"How many run at once. [default: {WORKERS}]" in text
    options, of_command, of_python = re.split(r" Of a (?:CLIENT of Python|COMMAND): ", text.partition("Options: ")[2])
    assert set(re.findall(r" (--[a-z-]+)", f" {of_python}")) == {"--receiver"}
    assert {"--driver", "--edits", "--hook-url", "--faketime"} <= set(re.findall(r" (--[a-z-]+)", f" {of_command}"))
    assert options.startswith("--examples")


def test_a_command_that_never_calls_is_told_how_it_would_have_found_the_api() -> None:
    script = "printf 'no config\\033[2J\\n'; exit 4"
    done = subprocess.run(
        [*FLUXMOCK, "test-client", "--property", "C01", "--", "sh", "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 3
    assert done.stderr == (
        "sh never called the API, whose address is {base_url} in its arguments and FLUXMOCK_BASE_URL in its "
        "environment: it reported failure (exit code 4: no config�[2J), and printed this:\nno config�[2J\n"
    )


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["--", "no-such-program"], "got 'no-such-program': No such file or directory; give the program's name"),
        (["--driver", "--", "sh", "-c", "exit 3"], "the driver died in the midst of a call (exit code 3)\n"),
        (["--driver", "--", "sh", "-c", "kill -9 $$"], "the driver died in the midst of a call (signal SIGKILL)\n"),
        (["--driver", "--", "sh", "-c", "echo '{not json'; cat"], "the driver said '{not json' where a line such as"),
        (["--hook-url", "nowhere", "--", "true"], "expected the URL of a receiver, got 'nowhere': hookUrl must be"),
        (["--speed", "0", "--", "true"], "--speed"),
    ],
)
def test_what_cannot_be_used_ends_with_2_and_one_line(command: list[str], words: str) -> None:
    done = subprocess.run([*FLUXMOCK, "test-client", *command], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("fluxmock: ")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_command_that_hangs_is_ended_and_has_called_never() -> None:
    done = test_client("--timeout", "0.2", "--property", "C01", "--", "sleep", "600")
    assert done.exit_code == 3


# ------------------------------------------------------------------------------------------------------- how it is ended


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("driver", [False, True])
def test_a_signal_ends_the_clients_too_and_at_once(tmp_path: Path, number: signal.Signals, *, driver: bool) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    (tmp_path / "hangs.py").write_text(HANGS, "utf-8")
    options = ["--driver"] if driver else []
    end = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    words = ["--timeout", "500", "--property", "C01", *options, "--", sys.executable, "-S", str(tmp_path / "hangs.py")]
    command = [*FLUXMOCK, "test-client", *words, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr is not None
            ready = select.select([end, process.stderr], [], [], 60)[0]
            assert ready == [end], process.stderr.read()
            assert os.read(end, 1) == b"."  # one of them hangs
            process.send_signal(number)
            output, errors = process.communicate(timeout=60)
            assert (process.returncode, output, errors) == (128 + number, b"", b"")
            while said := os.read(end, 100):  # until nobody holds the other end any more
                assert set(said) == {ord(".")}
        finally:
            process.kill()
            os.close(end)


HANGS = """
# Does as it should in the first call, and then no more.
import json, os, sys, time, urllib.error, urllib.request

def call(base_url):
    try:
        os.mkdir(sys.argv[1] + "/first")
    except FileExistsError:
        with open(sys.argv[1] + "/fifo", "w") as fifo:
            fifo.write(".")
            fifo.flush()
            time.sleep(600)
    try:
        urllib.request.urlopen(base_url + "/flux/generate")
    except urllib.error.HTTPError:
        pass

if "FLUXMOCK_BASE_URL" in os.environ:
    call(os.environ["FLUXMOCK_BASE_URL"])
else:
    for line in sys.stdin:
        wish = json.loads(line)
        call(wish["base_url"])
        print(json.dumps({"id": wish["id"], "ok": False}), flush=True)
"""


# -------------------------------------------------------------------------------------------------------------- faketime


def test_faketime_is_asked_for_by_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "some-machine" / "faketime" / "libfaketimeMT.so.1"
    library.parent.mkdir(parents=True)
    library.touch()  # the loader complains, and goes on without
    monkeypatch.setattr(fast, "_PLACES", (str(tmp_path),))
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    script = 'echo "$LD_PRELOAD|$FAKETIME|$FLUXMOCK_SPEED" >>$NOTES'
    done = test_client("--property", "C01", "--faketime", "--speed", "30", "--", "sh", "-c", script)
    assert done.exit_code == 3  # it has called nobody
    assert (tmp_path / "notes").read_text() == f"{library}|+0 x30|1\n"


def test_faketime_without_its_library_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "_PLACES", (str(tmp_path),))
    done = test_client("--faketime", "--speed", "30", "--", "true")
    assert done.exit_code == 2
    assert "install it (apt-get install libfaketime), or have the client read FLUXMOCK_SPEED" in done.output


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="shared memory is shown elsewhere")  # noqa: S108
def test_what_libfaketime_shares_is_removed_with_the_process_that_shared_it(tmp_path: Path) -> None:
    notes = tmp_path / "pids"
    script = f"touch /dev/shm/faketime_shm_$$ /dev/shm/sem.faketime_sem_$$; echo $$ >>{notes}; exec sleep 600"
    test_client("--timeout", "1", "--property", "C01", "--", "sh", "-c", script)
    (pid,) = notes.read_text().split()
    assert not list(Path("/dev/shm").glob(f"*faketime_s*_{pid}"))  # noqa: S108
