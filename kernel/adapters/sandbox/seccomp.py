"""A seccomp filter in classic BPF: system calls that a sandboxed command has no business with.

Guarantees, on x86-64 and AArch64: no new namespaces and no mounting (both open kernel code that
is otherwise out of reach), no kernel keyrings, BPF, perf events, userfaultfd, io_uring, modules,
handles by inode, no VM sockets (they are not part of a network namespace) and no typing into a
terminal. Each is refused with an error, the process goes on. Files that lie in memory alone
(memfd_create) count to nobody's memory while no process maps them, so they are absent, as on an old
kernel. Process 1, bubblewrap's own, which runs without this filter, can be neither traced nor entered
(its /proc folder is covered too: see `confine`). No file gets a set-user-ID or set-group-ID bit: outside,
files that a command makes belong to the user who runs the kernel, perhaps root. Programs of another architecture's
ABI (i386, x32) do not run.

Does not protect against flaws in the system calls that stay: it narrows what can be reached.
On other architectures there is no filter; the namespaces and dropped capabilities remain.

Source: seccomp(2), linux/audit.h, asm/unistd.h; RFC-0004.
"""

from __future__ import annotations

import errno
import platform
import struct
from dataclasses import dataclass
from typing import Final

_LOAD: Final = 0x20  # BPF_LD | BPF_W | BPF_ABS
_EQUAL: Final = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_AT_LEAST: Final = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_ANY_BIT: Final = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN: Final = 0x06
_ALLOW: Final = 0x7FFF_0000
_ERRNO: Final = 0x0005_0000

_NUMBER_AT: Final = 0
_ARCH_AT: Final = 4
_ARG_0_AT: Final = 16
_ARG_1_AT: Final = 24
_ARG_2_AT: Final = 32
_ARG_3_AT: Final = 40

_NEW_NAMESPACES: Final = 0x7E02_0000  # CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET}; NEWTIME is not for clone
_TIOCSTI: Final = 0x5412
_TIOCLINUX: Final = 0x541C
_AF_VSOCK: Final = 40
_CLONE3: Final = 435
_MEMFD_SECRET: Final = 447
_PIDFD_OPEN: Final = 434
_OPENAT2: Final = 437
_FCHMODAT2: Final = 452
_SET_ID_BITS: Final = 0o6000
_MAY_CREATE: Final = 0o100 | 0o20000000  # O_CREAT, O_TMPFILE
_X32_BIT: Final = 0x4000_0000

# io_uring_{setup,enter,register}, open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr.
_SAME_EVERYWHERE: Final = (425, 426, 427, 428, 429, 430, 431, 432, 433, 442)


@dataclass(frozen=True, slots=True)
class _Arch:
    audit: int
    clone: int
    ioctl: int
    socket: int
    memfd: int
    ptrace: int
    process_vm: tuple[int, int]
    modes: tuple[tuple[int, int], ...]
    """System calls that give a file its mode, with the place of that argument."""
    opens: tuple[tuple[int, int, int], ...]
    """System calls that may make a file, with the places of flags and mode."""
    denied: tuple[int, ...]
    x32: bool = False


# In order: mount umount2 pivot_root add_key request_key keyctl bpf perf_event_open userfaultfd unshare setns
# name_to_handle_at open_by_handle_at kexec_load init_module finit_module delete_module quotactl acct syslog
# lookup_dcookie kexec_file_load; on x86-64 also iopl ioperm modify_ldt.
_X86_64_MODES: Final = (
    (85, _ARG_1_AT),
    (90, _ARG_1_AT),
    (91, _ARG_1_AT),
    (268, _ARG_2_AT),
    (133, _ARG_1_AT),
    (259, _ARG_2_AT),
)
_X86_64_OPENS: Final = ((2, _ARG_1_AT, _ARG_2_AT), (257, _ARG_2_AT, _ARG_3_AT))
_AARCH64_MODES: Final = ((52, _ARG_1_AT), (53, _ARG_2_AT), (33, _ARG_2_AT))
_AARCH64_OPENS: Final = ((56, _ARG_2_AT, _ARG_3_AT),)
_X86_64: Final = "165 166 155 248 249 250 321 298 323 272 308 303 304 246 175 313 176 179 163 103 212 320 172 173 154"
_AARCH64: Final = "40 39 41 217 218 219 280 241 282 97 268 264 265 104 105 273 106 60 89 116 18 294"
_ARCHES: Final = {
    "x86_64": _Arch(
        0xC000_003E,
        56,
        16,
        41,
        319,
        101,
        (310, 311),
        _X86_64_MODES,
        _X86_64_OPENS,
        tuple(map(int, _X86_64.split())),
        x32=True,
    ),
    "aarch64": _Arch(
        0xC000_00B7,
        220,
        29,
        198,
        279,
        117,
        (270, 271),
        _AARCH64_MODES,
        _AARCH64_OPENS,
        tuple(map(int, _AARCH64.split())),
    ),
}


def filter_program(machine: str = "") -> bytes | None:
    """The filter for this machine, or None where there is none for its architecture."""
    arch = _ARCHES.get(machine or platform.machine())
    if arch is None:
        return None
    refuse = _op(_RETURN, _ERRNO | errno.EPERM)
    code = [_op(_LOAD, _ARCH_AT), _op(_EQUAL, arch.audit, yes=1), refuse, _op(_LOAD, _NUMBER_AT)]
    if arch.x32:
        code += [_op(_AT_LEAST, _X32_BIT, no=1), refuse]
    for number in (*arch.denied, *_SAME_EVERYWHERE):
        code += [_op(_EQUAL, number, no=1), refuse]
    # What lies in memory (clone3's flags, openat2's mode) a filter cannot see; after ENOSYS programs use the
    # older call.
    for number in (_CLONE3, _OPENAT2, arch.memfd, _MEMFD_SECRET):
        code += [_op(_EQUAL, number, no=1), _op(_RETURN, _ERRNO | errno.ENOSYS)]
    code += [_op(_EQUAL, arch.clone, no=4), _op(_LOAD, _ARG_0_AT), _op(_ANY_BIT, _NEW_NAMESPACES, no=1), refuse]
    code += [_op(_RETURN, _ALLOW)]
    for number, names_process in ((arch.ptrace, _ARG_1_AT), *((each, _ARG_0_AT) for each in arch.process_vm)):
        code += _not_of_process_1(number, names_process, refuse)
    code += _not_of_process_1(_PIDFD_OPEN, _ARG_0_AT, refuse)
    for number, mode_at in (*arch.modes, (_FCHMODAT2, _ARG_2_AT)):
        code += [_op(_EQUAL, number, no=4), *_without_set_id(mode_at, refuse)]
    for number, flags_at, mode_at in arch.opens:
        code += [_op(_EQUAL, number, no=6), _op(_LOAD, flags_at), _op(_ANY_BIT, _MAY_CREATE, no=3)]
        code += _without_set_id(mode_at, refuse)
    code += [_op(_EQUAL, arch.socket, no=4), _op(_LOAD, _ARG_0_AT), _op(_EQUAL, _AF_VSOCK, no=1), refuse]
    code += [_op(_RETURN, _ALLOW)]
    code += [_op(_EQUAL, arch.ioctl, no=4), _op(_LOAD, _ARG_1_AT), _op(_EQUAL, _TIOCSTI, yes=1)]
    code += [_op(_EQUAL, _TIOCLINUX, no=1), refuse, _op(_RETURN, _ALLOW)]
    return b"".join(code)


def _not_of_process_1(number: int, names_process: int, refuse: bytes) -> list[bytes]:
    return [
        _op(_EQUAL, number, no=4),
        _op(_LOAD, names_process),
        _op(_EQUAL, 1, no=1),
        refuse,
        _op(_RETURN, _ALLOW),
    ]


def _without_set_id(mode_at: int, refuse: bytes) -> list[bytes]:
    return [_op(_LOAD, mode_at), _op(_ANY_BIT, _SET_ID_BITS, no=1), refuse, _op(_RETURN, _ALLOW)]


def _op(code: int, value: int, *, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value)
