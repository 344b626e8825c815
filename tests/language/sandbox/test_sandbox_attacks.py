"""Attacks on the layers below the check of the source, at each level of isolation: contained, and nothing is left."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading

import pytest
from tests.language.sandbox.levels import hurried, sandbox

REFUSED = "try:\n    {}\n    print('REACHED')\nexcept OSError as error:\n    print('refused', error.errno)\n"

ENDED = {  # name: program, statuses that are right
    "busy loop": ("while True: pass", {"timeout"}),
    "sleep": ("import time; time.sleep(60)", {"timeout"}),
    "memory at once": ("x = bytearray(4 << 30)", {"memory"}),
    "memory by and by": ("x = []\nwhile True: x.append(bytes(16 << 20))", {"memory"}),
    "output": ("import os\nwhile True: os.write(1, b'x' * 65536)", {"output"}),
    "errors": ("import os\nfor _ in range(16384): os.write(2, b'x' * 65536)", {"output"}),
    "one huge line": ("print('y' * 50_000_000)", {"output"}),
    "deaf to signals": (
        "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\nwhile True: pass",
        {"timeout"},
    ),
    "hidden files": (
        "import os\nfor _ in range(25): os.mkdir('d' * 200); os.chdir('d' * 200)\n"
        "i = 0\nwhile True:\n    i += 1\n    open(f'f{i}', 'wb').write(b'x' * 1000000)",
        {"output", "run_error"},
    ),
    "folder without a way in": ("import os, time\nos.mkdir('d', 0o300)\ntime.sleep(60)", {"output", "timeout"}),
    "filled folder": (
        "i = 0\nwhile True:\n    i += 1\n    open(f'f{i}', 'wb').write(b'x' * 1000000)",
        {"output", "run_error"},
    ),
    "many files": ("i = 0\nwhile True:\n    i += 1\n    open(f'f{i}', 'wb').close()", {"output", "run_error"}),
    "large file": ("f = open('f', 'wb')\nfor _ in range(5): f.write(b'x' * 1000000)", {"run_error"}),
    "recursion": ("def f(): f()\nf()", {"run_error"}),
    "deep recursion": (
        "import sys; sys.setrecursionlimit(10**8)\nf = lambda: f()\nf()",
        {"run_error", "memory", "timeout"},
    ),
    "fault": ("import ctypes; ctypes.string_at(0)", {"run_error"}),
    "abort": ("import os; os.abort()", {"run_error"}),
    "hard exit": ("import os; print('x', flush=True); os._exit(3)", {"run_error"}),
    "huge message": ("raise ValueError('x' * 20_000_000)", {"run_error", "output"}),
    "closed output": ("import os\nos.closerange(0, 100)\n1 / 0", {"run_error"}),
    "no recovery": ("try:\n    while True: pass\nfinally:\n    while True: pass", {"timeout"}),
    "hostile exception": (
        "class E(BaseException):\n    def __str__(self): raise E\n    __repr__ = __str__\nraise E",
        {"run_error"},
    ),
    "exit function": ("import atexit, time; atexit.register(time.sleep, 60)", {"timeout"}),
    "thread": ("import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()", {"timeout"}),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDED)
def test_ends_with_the_right_status(extreme, name):
    code, right = ENDED[name]
    if "memory" in name and "memory limit" in extreme.isolation.missing:
        pytest.skip("this system does not limit memory")
    with hurried(extreme) if "timeout" in right else contextlib.nullcontext():
        result = extreme.run(code)
    assert result.status in right, result
    assert len(result.stdout) + len(result.stderr) < 4 * 64 * 1024
    assert result.timed_out == (result.status == "timeout")


def test_output_keeps_its_beginning_and_its_end(guarded):
    result = guarded.run("print('begin'); print('z' * 500_000); print('-' * 10); print('end')")
    assert result.status == "ok"
    assert result.truncated
    assert result.stdout.startswith("begin\n")
    assert result.stdout.endswith("-" * 10 + "\nend\n")
    assert "bytes left out" in result.stdout


def test_descriptors_run_out(guarded):
    code = "files = []\ntry:\n    while True: files.append(open('/dev/null'))\nexcept OSError as e: print(e.errno)"
    assert guarded.run(code).stdout == "24\n"


def test_no_descriptor_of_the_worker_is_open(guarded):
    code = (
        "import os\nfor fd in range(256):\n    try:\n        os.fstat(fd); print(fd, end=' ')\n    except OSError: pass"
    )
    assert guarded.run(code).stdout == "0 1 2 3 "


FILES = [
    "os.open('/etc/passwd', os.O_RDONLY)",
    "os.listdir(OUTSIDE)",
    "open(OUTSIDE + '/secret').read()",
    "open(OUTSIDE + '/made', 'w').write('x')",
    "os.mkdir(OUTSIDE + '/folder')",
    "os.unlink(OUTSIDE + '/secret')",
    "os.rename(OUTSIDE + '/secret', 'taken')",
    "os.link(OUTSIDE + '/secret', 'linked')",
    "os.truncate(OUTSIDE + '/secret', 0)",
    "os.symlink(OUTSIDE, 'way'); open('way/secret').read()",
    "os.symlink(OUTSIDE + '/made', 'way'); open('way', 'w')",
    "open('../' * 20 + OUTSIDE + '/secret').read()",
    "open('/proc/self/root' + OUTSIDE + '/secret').read()",
    "os.listdir(os.path.expanduser('~root'))",
    "os.execv('/bin/sh', ['sh', '-c', 'true'])",
    "open('/dev/mem', 'rb').read(1)",
]


def test_files_outside_are_out_of_reach(guarded, tmp_path):
    if not guarded.isolation.files:
        pytest.skip("this level does not confine files")
    (tmp_path / "secret").write_text("secret")
    for attack in FILES:
        code = f"import os\nOUTSIDE = {str(tmp_path)!r}\n" + REFUSED.format(attack.replace("; ", "\n    "))
        result = guarded.run(code)
        assert "REACHED" not in result.stdout, attack
        assert "refused" in result.stdout, result
    assert [p.name for p in tmp_path.iterdir()] == ["secret"]
    assert (tmp_path / "secret").read_text() == "secret"


def test_modes_and_times_of_files_outside_stay(guarded, tmp_path):
    if "seccomp" not in guarded.isolation.layers:
        pytest.skip("this level does not filter system calls")
    target = tmp_path / "secret"
    target.write_text("secret")
    target.chmod(0o640)
    os.utime(target, (1, 1))
    before = target.stat()
    code = f"import os\np = {str(target)!r}\n"
    for attack in ("os.chmod(p, 0)", "os.chown(p, 1, 1)", "os.utime(p, (0, 0))", "os.setxattr(p, 'user.x', b'1')"):
        assert guarded.run(code + REFUSED.format(attack)).stdout == "refused 1\n"
    after = target.stat()
    assert (after.st_mode, after.st_uid, after.st_mtime, after.st_ctime) == (
        before.st_mode, before.st_uid, before.st_mtime, before.st_ctime,
    )  # fmt: skip


def test_no_connection_to_the_caller_or_the_world(guarded, tmp_path):
    if not guarded.isolation.network:
        pytest.skip("this level does not keep the network out")
    tcp, named, abstract = socket.socket(), socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    with tcp, named, abstract:
        tcp.bind(("127.0.0.1", 0))
        named.bind(str(tmp_path / "s"))
        abstract.bind(f"\0optimand-test-{os.getpid()}")
        attacks = [
            f"socket.create_connection(('127.0.0.1', {tcp.getsockname()[1]}), 0.5)",
            "socket.create_connection(('192.0.2.1', 80), 0.5)",
            "socket.getaddrinfo('example.org', 80)",
            f"socket.socket(socket.AF_UNIX).connect('\\0optimand-test-{os.getpid()}')",
            "socket.socket(socket.AF_INET, socket.SOCK_RAW)",
        ]
        if {"seccomp", "private root"} & set(guarded.isolation.layers):  # Landlock lets such sockets pass
            attacks.append(f"socket.socket(socket.AF_UNIX).connect({str(tmp_path / 's')!r})")
        for server in (tcp, named, abstract):
            server.listen()
            server.settimeout(0.0)
        for attack in attacks:
            result = guarded.run("import socket\n" + REFUSED.format(attack))
            assert "REACHED" not in result.stdout, attack
            assert result.status == "timeout" or "refused" in result.stdout, result
        for server in (tcp, named, abstract):
            with pytest.raises(BlockingIOError):
                server.accept()


def test_a_pair_of_sockets_reaches_nobody_else(guarded, tmp_path):
    if not guarded.isolation.network:
        pytest.skip("this level does not keep the network out")
    named, abstract = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
    with named, abstract:
        named.bind(str(tmp_path / "s"))
        abstract.bind(f"\0optimand-pair-{os.getpid()}")
        for server in (named, abstract):
            server.setblocking(False)
            attack = f"socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'x', {server.getsockname()!r})"
            assert guarded.run("import socket\n" + REFUSED.format(attack)).stdout.startswith("refused ")
            with pytest.raises(BlockingIOError):
                server.recv(1)
    pair = "import socket\na, b = socket.socketpair()\na.send(b'x')\nprint(b.recv(1))"
    assert guarded.run(pair).stdout == "b'x'\n"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has such a filter")
def test_the_filter_alone_keeps_a_file_from_signalling_a_process_outside():
    with sandbox("filter-only") as python, subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as victim:
        if "seccomp" not in python.isolation.layers:
            pytest.skip("this system does not filter system calls")
        for attack in (
            f"fcntl.fcntl(r, fcntl.F_SETOWN, {victim.pid})",
            "fcntl.fcntl(r, 10, 9)",
            f"fcntl.fcntl(r, 15, struct.pack('ii', 1, {victim.pid}))",
            f"fcntl.ioctl(r, 0x8901, struct.pack('i', {victim.pid}))",
        ):
            result = python.run("import fcntl, os, struct\nr, w = os.pipe()\n" + REFUSED.format(attack))
            assert result.stdout == "refused 1\n", result
        assert python.run("import fcntl\nprint(fcntl.fcntl(1, fcntl.F_GETFD))").stdout == "0\n"
        assert victim.poll() is None
        victim.communicate(b"\n")


def test_processes_outside_get_no_signals_and_are_not_traced(guarded):
    if not {"process namespace", "seccomp"} & set(guarded.isolation.layers):
        pytest.skip("this level does not confine signals")
    # signal 0 harms nobody, should the attack succeed
    code = "import os\n" + REFUSED.format(f"os.kill({os.getpid()}, 0)") + REFUSED.format("os.kill(os.getppid(), 9)")
    result = guarded.run(code)
    if "process namespace" in guarded.isolation.layers and "seccomp" not in guarded.isolation.layers:
        assert result.stdout.startswith("refused 3\n")  # there is no such process; its own init is deaf
    else:
        assert result.stdout == "refused 1\nrefused 1\n"
    trace = "import ctypes, os\nlibc = ctypes.CDLL(None)\nprint([libc.ptrace(16, p, 0, 0) for p in (os.getppid(), 1)])"
    assert guarded.run(trace).stdout == "[-1, -1]\n"
    assert guarded.run(REFUSED.format("open(f'/proc/{__import__(\"os\").getppid()}/mem', 'r+b')")).stdout != "REACHED\n"


def test_a_signal_to_everybody_reaches_only_itself(guarded):
    if "process namespace" not in guarded.isolation.layers:
        pytest.skip("this level has no process namespace")
    bystander = threading.Event()
    old = signal.signal(signal.SIGTERM, lambda *_: bystander.set())
    try:
        guarded.run("import os, signal\nsignal.signal(15, signal.SIG_IGN)\nos.kill(-1, 15)\nos.kill(-1, 9)")
    finally:
        signal.signal(signal.SIGTERM, old)
    assert not bystander.is_set()


def test_capabilities_cannot_be_had_again(guarded):
    code = (
        "import ctypes, os\nlibc = ctypes.CDLL(None)\n"
        "print(libc.unshare(0x10000000), libc.mount(b'x', b'/tmp', b'tmpfs', 0, None), libc.setuid(0) if os.getuid() "
        "else -1, libc.chroot(b'/'))"
    )
    if "seccomp" in guarded.isolation.layers:
        assert guarded.run(code).stdout == "-1 -1 -1 -1\n"
    else:
        status = (
            "for line in open('/proc/self/status'):\n"
            "    if line.startswith(('CapEff', 'CapPrm', 'NoNew')): print(line.split()[1])"
        )
        assert guarded.run(status).stdout.split() == ["0" * 16, "0" * 16, "1"]


def test_limits_cannot_be_lifted_nor_set_for_others(guarded):
    code = (
        "import resource as r\nfor k in (r.RLIMIT_AS, r.RLIMIT_CPU, r.RLIMIT_FSIZE, r.RLIMIT_NOFILE, r.RLIMIT_CORE):\n"
        "    try:\n        r.setrlimit(k, (r.RLIM_INFINITY, r.RLIM_INFINITY)); print('LIFTED')\n"
        "    except (ValueError, OSError): print('kept')\n"
    )
    assert guarded.run(code).stdout == "kept\n" * 5
    if "seccomp" in guarded.isolation.layers:
        other = "import os, resource as r\n" + REFUSED.format("r.prlimit(os.getppid(), r.RLIMIT_NOFILE, (9, 9))")
        assert guarded.run(other).stdout == "refused 1\n"


FORGED = [
    b'{"value": "{\\"$\\": \\"array\\", \\"dtype\\": \\"O\\", \\"shape\\": [1], \\"v\\": \\"AAAA\\"}"}',
    b"[" * 20_000,
    b'{"a":' * 900 + b"1" + b"}" * 900,
    b'{"frames": [[1e400, 5], 3, [1, "f"]], "error_type": 7, "memory": "yes"}',
    b"\xff\0junk",
    b'{"setup": "x"}',
    b'{"value": 5}',
]


@pytest.mark.parametrize("text", FORGED, ids=range(len(FORGED)))
def test_a_forged_answer_is_only_an_answer(extreme, text):
    for end in (0, 1, 71):
        result = extreme.call(f"import os\ndef f():\n    os.write(3, b'\\n' + {text!r})\n    os._exit({end})", "f")
        assert result.status == "run_error", result
        assert result.value is None


def test_a_message_of_half_characters_can_be_written(extreme):
    result = extreme.call("def f(): raise ValueError('\\ud800')", "f")
    assert result.error_message == "\\ud800"
    forged = r'{"error_type": "\ud800", "error_message": "\udfff"}'
    result = extreme.call(f"import os\ndef f():\n    os.write(3, {forged.encode()!r})\n    os._exit(1)", "f")
    assert (result.error_type, result.error_message) == ("?", "?")


def test_a_flood_of_answers_ends_the_program(extreme):
    assert extreme.call("import os\ndef f():\n    while True: os.write(3, b'x' * 65536)", "f").status == "output"


def test_the_worker_is_not_changed_by_a_program(guarded):
    guarded.run(
        "import builtins, sys, json, os, random\nbuiltins.print = None\njson.dumps = None\nsys.path.clear()\n"
        "os.environ.clear()\nos.umask(0o777)\nrandom.seed(1)"
    )
    result = guarded.run("import json, os\nprint(json.dumps([1]), os.umask(0) == 0o077, 'HOME' in os.environ)")
    assert result.stdout == "[1] True True\n"


def test_nothing_of_the_callers_environment_is_there(guarded, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "do-not-leak-me")
    code = "import os\nprint(os.environ, open('/proc/self/environ').read() if os.path.exists('/proc/self') else '')"
    assert "do-not-leak-me" not in guarded.run(code).stdout
    peek = (
        "import glob\nfor p in glob.glob('/proc/[0-9]*/environ'):\n"
        "    try: print(open(p).read())\n    except OSError: pass"
    )
    if guarded.isolation.files or guarded.isolation.processes:
        assert "PATH=/" not in guarded.run(peek).stdout
