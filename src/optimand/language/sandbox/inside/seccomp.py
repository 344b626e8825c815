"""A filter of system calls: those that reach beyond the program fail with "not permitted".

It closes what Landlock leaves open (modes and owners of files, sockets in the file system, key rings, tracing) and
keeps the network out where namespaces are refused. A list of forbidden calls, not of allowed ones: packages of native
code call whatever they like of the rest.
"""

from __future__ import annotations

import ctypes
import struct

from .linux import machine, prctl

_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# name: numbers on x86_64 and aarch64; None where the architecture has no such call
_FORBIDDEN: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198), "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    "process_madvise": (440, 440), "tkill": (200, 130), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None),
    "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None),
    "futimesat": (261, None), "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "setxattrat": (463, 463), "removexattrat": (466, 466), "file_setattr": (469, 469),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97),
    "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "fanotify_init": (300, 262), "acct": (163, 89),
    "quotactl": (179, 60), "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266),
    "sethostname": (170, 161), "setdomainname": (171, 162), "syslog": (103, 116), "iopl": (172, None),
    "ioperm": (173, None), "vhangup": (153, 58), "personality": (135, 92), "ioprio_set": (251, 30),
    "migrate_pages": (256, 238), "move_pages": (279, 239), "setpriority": (141, 140), "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274), "shmget": (29, 194), "shmat": (30, 196),
    "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
}  # fmt: skip
_CLONE, _CLONE3 = (56, 220), (435, 435)
# allowed where the first argument, a process, is the program itself: kill, tgkill, prlimit64, sched_setaffinity
_ON_ITSELF = ((62, 129), (234, 131), (302, 261), (203, 122))
_FORKS = (57, 58)  # fork and vfork, on x86_64 alone
# pairs of sockets: (call, domain, types allowed). One of datagrams could be pointed at any socket of this machine
_SOCKETPAIR, _UNIX, _CONNECTED, _TYPE = (53, 199), 1, (1, 5), 0xF
# fcntl and ioctl with these commands: they choose a process to be sent a signal when a file is ready, take a lease on
# a file, or type into a terminal
_COMMANDS = (
    ((72, 25), (8, 10, 15, 1024)),  # F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE
    ((16, 29), (0x8901, 0x8902, 0x5412, 0x541C)),  # FIOSETOWN, SIOCSPGRP, TIOCSTI, TIOCLINUX
)

_LOAD, _EQUAL, _AT_LEAST, _ANY_OF, _RETURN, _AND = 0x20, 0x15, 0x35, 0x45, 0x06, 0x54
_ALLOW, _DENY, _NO_CALL, _DIE = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38, 0x80000000
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24  # offsets in seccomp_data; the arguments' low words
_NEW_NAMESPACE = 0x7E020080  # of the flags of clone
_THREAD = 0x00010000


def supported() -> str | None:
    """Why there is no filter here, or None."""
    if machine() not in _ARCH:
        return f"no table of system calls for {machine()}"
    if struct.calcsize("P") != 8:
        return "a 32-bit interpreter"
    return None


def program(pid: int, forks: bool) -> list[tuple[int, int, int, int]]:
    """The filter: instructions ``(code, jump if true, jump if false, value)``.

    Args:
        pid: the only process that may be sent signals: the program itself.
        forks: whether new processes are allowed; threads are.
    """
    column = list(_ARCH).index(machine())
    code = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _ARCH[machine()]),
        (_RETURN, 0, 0, _DIE),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if column == 0:  # the other numbering of the same architecture
        code += [(_AT_LEAST, 0, 1, 0x40000000), (_RETURN, 0, 0, _DENY)]
    numbers = [pair[column] for pair in _FORBIDDEN.values()]
    if column == 0 and not forks:
        numbers += _FORKS
    for number in numbers:
        if number is not None:
            code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _DENY)]
    code += [(_EQUAL, 0, 1, _CLONE3[column]), (_RETURN, 0, 0, _NO_CALL)]  # its flags are out of a filter's sight
    for call in _ON_ITSELF:
        itself = 0 if call in _ON_ITSELF[2:] else pid  # 0 means the caller, but for signals its whole group
        code += [(_EQUAL, 0, 5, call[column]), (_LOAD, 0, 0, _FIRST), (_EQUAL, 1, 0, pid), (_EQUAL, 0, 1, itself),
                 (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _DENY)]  # fmt: skip
    for call, commands in _COMMANDS:
        code += [(_EQUAL, 0, 2 * len(commands) + 2, call[column]), (_LOAD, 0, 0, _SECOND)]
        for command in commands:
            code += [(_EQUAL, 0, 1, command), (_RETURN, 0, 0, _DENY)]
        code += [(_RETURN, 0, 0, _ALLOW)]
    stream, packets = _CONNECTED
    code += [(_EQUAL, 0, 9, _SOCKETPAIR[column]), (_LOAD, 0, 0, _FIRST), (_EQUAL, 1, 0, _UNIX), (_RETURN, 0, 0, _DENY),
             (_LOAD, 0, 0, _SECOND), (_AND, 0, 0, _TYPE), (_EQUAL, 1, 0, stream), (_EQUAL, 0, 1, packets),
             (_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _DENY)]  # fmt: skip
    code += [(_EQUAL, 1, 0, _CLONE[column]), (_RETURN, 0, 0, _ALLOW), (_LOAD, 0, 0, _FIRST),
             (_ANY_OF, 0, 1, _NEW_NAMESPACE), (_RETURN, 0, 0, _DENY)]  # fmt: skip
    if not forks:
        code += [(_ANY_OF, 1, 0, _THREAD), (_RETURN, 0, 0, _DENY)]
    return [*code, (_RETURN, 0, 0, _ALLOW)]


def install(pid: int, forks: bool) -> None:
    """Put the filter in force for this process and all it starts; needs ``no_new_privileges`` before."""
    code = program(pid, forks)
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
    text = ctypes.create_string_buffer(packed, len(packed))
    head = struct.pack("@HP", len(code), ctypes.addressof(text))
    prctl(22, 2, ctypes.create_string_buffer(head, len(head)))  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
