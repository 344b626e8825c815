"""Nothing is left: not after many programs, nor after interrupts, kills, forks and exits without closing."""

import os
import subprocess
import sys
import tempfile
import threading
import time

import pytest
from tests.language.sandbox.levels import LEVELS, leaving_nothing, marked, sandbox

from optimand.language.sandbox import SandboxedPython, SandboxError, pool

ESCAPE = """
import os, time
for i in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for fd in range(3):
                os.close(fd)
            time.sleep(60)
        os._exit(0)
print("left")
"""

BOMB = """
import os, time
for i in range(9):
    try:
        os.fork()
    except OSError:
        time.sleep(0.01)
time.sleep(60)
"""


needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux finds what left its session")


def eventually(what, seconds=5.0):
    end = time.monotonic() + seconds
    while not what() and time.monotonic() < end:
        time.sleep(0.02)
    return what()


@needs_linux
@pytest.mark.parametrize("level", LEVELS)
def test_children_that_left_their_session_die_with_the_program(level):
    with sandbox(level, processes=20) as python, leaving_nothing(python):
        assert python.run(ESCAPE).stdout == "left\n"


@needs_linux
@pytest.mark.parametrize("level", LEVELS)
def test_a_fork_bomb_is_ended(level):
    with sandbox(level, processes=4, wall_s=0.6) as python, leaving_nothing(python):
        result = python.run(BOMB)
        assert result.status in ("run_error", "timeout")
        if result.status == "run_error":
            assert "more than 4 child processes" in result.stderr


@pytest.mark.parametrize("level", LEVELS)
def test_without_processes_nothing_stays_forked(level):
    with sandbox(level) as python, leaving_nothing(python):
        result = python.run("import os, time\nif os.fork(): time.sleep(5)\nelse: time.sleep(60)")
        assert result.status == "run_error"


@needs_linux
def test_a_program_that_kills_its_keepers_does_not_survive_them():
    """Where neither namespaces nor filters are: it gives up its death signal, kills both, and runs on."""
    attack = """
import ctypes, os, time
ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)
inner = os.getppid()
outer = int(open(f"/proc/{inner}/stat").read().rpartition(")")[2].split()[1])
assert all("keeper.main" in open(f"/proc/{pid}/cmdline").read() for pid in (outer, inner))
os.kill(outer, 9)
os.kill(inner, 9)
time.sleep(60)
"""
    with sandbox("limits-only", wall_s=5) as python:
        if not os.path.isdir("/proc/self"):
            pytest.skip("needs /proc")
        with leaving_nothing(python) as worker:
            begin = time.monotonic()
            assert python.run(attack).status == "run_error"
            assert time.monotonic() - begin < 5
            assert marked(worker.token) == set()


@pytest.mark.parametrize("workers", [0, 1])
def test_two_hundred_programs_leave_neither_processes_nor_files(workers, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    threads, descriptors = threading.active_count(), len(os.listdir("/dev/fd"))
    count = 190 if workers else 10
    with SandboxedPython(workers=workers, wall_s=5) as python:
        code = "import random\nfor i in range(3): print(i)"
        results = {python.run(code).stdout for _ in range(count)}
        tokens = [worker.token for worker in python._pool._idle]
        assert len(tokens) == workers
        assert all(len(marked(token)) <= 2 for token in tokens)
    assert results == {"0\n1\n2\n"}
    assert all(not marked(token) for token in tokens)
    assert list(tmp_path.iterdir()) == []
    assert threading.active_count() == threads
    assert len(os.listdir("/dev/fd")) == descriptors


def test_a_worker_that_died_is_replaced():
    with SandboxedPython(workers=1, wall_s=5) as python:
        assert python.run("print(1)").ok
        worker = python._pool._idle[0]
        worker._process.kill()
        worker._process.wait()
        assert python.run("print(2)").stdout == "2\n"
        assert python._pool._idle[0] is not worker
        assert eventually(lambda: not marked(worker.token))


def test_a_worker_that_dies_under_a_program_is_an_error_of_the_sandbox():
    with SandboxedPython(workers=1, wall_s=5) as python:
        if not python.isolation.processes:
            pytest.skip("needs a process namespace")
        worker = python._pool._idle[0]
        timer = threading.Timer(0.3, worker._process.kill)
        timer.start()
        with pytest.raises(SandboxError, match="own process ended"):
            python.run("while True: pass")
        timer.join()
        assert not marked(worker.token)
        assert python.run("print(2)").stdout == "2\n"


INTERRUPTED = """
import os, signal, threading, time
from optimand.language.sandbox import SandboxedPython
from tests.language.sandbox.test_sandbox_lifecycle import marked

with SandboxedPython(workers=1, wall_s=20, cpu_s=20) as python:
    assert python.run("print(1)").ok
    worker = python._pool._idle[0]
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    begin = time.monotonic()
    try:
        python.run("while True: pass")
        raise SystemExit("nothing was interrupted")
    except KeyboardInterrupt:
        assert time.monotonic() - begin < 5
    assert not marked(worker.token)
    assert not os.path.exists(worker.folder)
    assert python.run("print(2)").stdout == "2\\n"
"""


def test_an_interrupt_ends_the_program():
    # In a process of its own: libraries that other tests load keep handlers of that signal
    subprocess.run([sys.executable, "-c", INTERRUPTED], check=True, timeout=60)


def test_closing_ends_a_running_program():
    python = SandboxedPython(workers=1, wall_s=20, cpu_s=20)
    assert python.run("print(1)").ok
    worker = python._pool._idle[0]
    threading.Timer(0.3, python.close).start()
    with pytest.raises(SandboxError, match="closed while"):
        python.run("while True: pass")
    assert eventually(lambda: not marked(worker.token))


CALLER = """
import os, sys, threading, time
from optimand.language.sandbox import SandboxedPython
python = SandboxedPython(workers=1, wall_s=30, cpu_s=30, _without={without!r})
python.run("print(1)")
print(python._pool._idle[0].token, python._pool._base, flush=True)
{then}
"""


def start(then, without=()):
    code = CALLER.format(then=then, without=tuple(without))
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    token, base = process.stdout.readline().split()
    return process, token, base


@pytest.mark.parametrize("level", ["full", "limits-only"])
def test_a_killed_caller_takes_everything_with_it(level):
    process, token, base = start("python.run('while True: pass')", LEVELS[level])
    with process:
        # only the superuser sees the marks of processes that hide their memory
        seen = 3 if os.getuid() == 0 else 1
        assert eventually(lambda: len(marked(token)) >= seen)
        process.kill()
    assert eventually(lambda: not marked(token))
    assert eventually(lambda: not os.path.exists(base))


@pytest.mark.parametrize("then", ["", "sys.exit(1)", "del python", "raise KeyboardInterrupt"])
def test_a_caller_that_never_closes_leaves_nothing(then):
    process, token, base = start("sys.stderr.close()\n" + then)
    with process:
        process.wait(10)
    assert eventually(lambda: not marked(token))
    assert not os.path.exists(base)


def test_a_fork_of_the_caller_has_workers_of_its_own():
    then = """
pid = os.fork()
out = python.run("print(2)").stdout + str(python._pool._idle[0].token)
if pid == 0:
    python.close()
    print("child", out.split(), flush=True)
    os._exit(0)
os.waitpid(pid, 0)
print("parent", out.split(), python.run("print(3)").stdout, flush=True)
"""
    process, token, _ = start(then)
    with process:
        lines = process.stdout.read().split("\n")
    assert lines[0].startswith("child ['2'")
    assert lines[1] == f"parent ['2', '{token}'] 3"
    assert token not in lines[0]


def test_folders_of_any_shape_are_removed():
    nested = "import os\nos.mkdir('a'); os.chdir('a')\n" + "for _ in range(200): os.mkdir('d'); os.chdir('d')\n"
    odd = (
        "import os\nos.mkfifo('pipe'); os.symlink('/', 'root'); os.symlink('loop', 'loop')\n"
        "open(b'\\xff\\n -rf', 'w'); os.mkdir('shut'); open('shut/x', 'w')\n"
        "try: os.chmod('shut', 0)\nexcept OSError: pass"
    )
    for level in ("full", "limits-only"):
        with sandbox(level) as python, leaving_nothing(python):
            for code in (nested, odd):
                result = python.run(code)
                assert result.status == "ok", result


def test_the_caller_removes_folders_without_following_links(tmp_path):
    from optimand.language.sandbox.inside.folders import remove, usage

    keep = tmp_path / "keep"
    keep.mkdir()
    (keep / "file").write_text("x")
    top = tmp_path / "top"
    deep = top
    for _ in range(30):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "link").symlink_to(keep)
    (top / "link").symlink_to(keep)
    (top / "f").write_bytes(b"x" * 10_000)
    (top / "shut").mkdir(mode=0o300)
    if os.getuid():  # nothing is shut to the superuser
        assert usage(str(top), 1000)[1] == 1001
    (top / "shut").rmdir()
    size, count = usage(str(top), 1000)
    assert size >= 10_000
    assert count == 33
    assert usage(str(top), 5)[1] == 6
    remove(str(top), keep=True)
    assert list(top.iterdir()) == []
    remove(str(top))
    remove(str(top))
    assert not top.exists()
    assert (keep / "file").read_text() == "x"


def test_closing_while_workers_start_leaves_no_folder(tmp_path, monkeypatch):
    """A worker that starts while the sandbox is closed makes the folder anew, which must go with it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    python = SandboxedPython()
    make, made = pool.Worker, []

    def late(base, config):
        python.close()
        assert list(tmp_path.iterdir()) == []
        os.makedirs(base)
        made.append(make(base, config))
        return made[0]

    monkeypatch.setattr(pool, "Worker", late)
    with pytest.raises(SandboxError, match="closed"):
        python.run("print(1)")
    assert not made[0].alive
    assert list(tmp_path.iterdir()) == []
