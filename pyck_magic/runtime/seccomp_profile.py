"""Which system calls a container may make: the rules of `docker run`, and an emulation of root where there is but one id.

Runs in: the newborn; the launcher compiles ahead, so that nobody waits for it.

The lists follow Docker's default profile (github.com/moby/profiles, seccomp/default.json): what is not named fails with
EPERM. Calls younger than our tables fail with ENOSYS, so that programs fall back to older ones; so does clone3, whose
flags lie behind a pointer that no filter can follow. Calls for another architecture (32-bit x86) end the program.
"""

import errno
import functools
import os

from pyck_magic.linux import bpf, seccomp
from pyck_magic.linux.syscalls import AUDIT_ARCH, NUMBERS

DEFAULT_CAPABILITIES = frozenset(
    "CAP_" + name
    for name in (
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW",
        "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    )
)  # fmt: skip
"""The fourteen that Docker leaves to root in a container."""

ALWAYS = {
    "open and close": "open openat openat2 creat close close_range dup dup2 dup3 fcntl flock ioctl pipe pipe2 memfd_create",
    "read and write": "read readv pread64 preadv preadv2 write writev pwrite64 pwritev pwritev2 lseek sendfile splice tee"
    " vmsplice copy_file_range readahead fadvise64 cachestat fsync fdatasync sync syncfs sync_file_range",
    "names": "access faccessat faccessat2 chdir fchdir getcwd getdents getdents64 link linkat symlink symlinkat readlink"
    " readlinkat mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 mknod mknodat name_to_handle_at",
    "properties": "stat fstat lstat newfstatat statx statfs fstatfs statmount listmount chmod fchmod fchmodat fchmodat2"
    " chown fchown lchown fchownat umask truncate ftruncate fallocate utime utimes futimesat utimensat",
    "extended attributes": "getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat listxattr"
    " llistxattr flistxattr listxattrat removexattr lremovexattr fremovexattr removexattrat",
    "waiting for descriptors": "poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_wait"
    " epoll_wait_old epoll_pwait epoll_pwait2 eventfd eventfd2 signalfd signalfd4 inotify_init inotify_init1"
    " inotify_add_watch inotify_rm_watch fanotify_mark",
    "asynchronous I/O": "io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents",
    "sockets": "socketpair bind listen accept accept4 connect shutdown getsockname getpeername getsockopt setsockopt"
    " sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg",
    "memory": "brk mmap munmap mremap mprotect msync mincore madvise mlock mlock2 mlockall munlock munlockall membarrier"
    " remap_file_pages memfd_secret mseal map_shadow_stack pkey_alloc pkey_free pkey_mprotect",
    "processes": "fork vfork execve execveat exit exit_group wait4 waitid getpid getppid gettid getpgid getpgrp setpgid"
    " getsid setsid kill tkill tgkill pidfd_open pidfd_send_signal process_mrelease prctl uname sysinfo getcpu times"
    " getrusage getrlimit setrlimit prlimit64 get_thread_area set_thread_area set_tid_address restart_syscall rseq"
    " arch_prctl modify_ldt uretprobe ptrace process_vm_readv process_vm_writev",
    "threads": "futex futex_wait futex_wake futex_requeue futex_waitv get_robust_list set_robust_list",
    "signals": "rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait"
    " rt_tgsigqueueinfo sigaltstack pause",
    "time": "time gettimeofday clock_gettime clock_getres clock_nanosleep clock_adjtime adjtimex nanosleep alarm getitimer"
    " setitimer timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime"
    " timerfd_settime",
    "scheduling": "sched_yield sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam sched_setparam"
    " sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min sched_rr_get_interval"
    " getpriority setpriority ioprio_get ioprio_set",
    "identity": "getuid geteuid getgid getegid getresuid getresgid getgroups setuid setgid setreuid setregid setresuid"
    " setresgid setfsuid setfsgid setgroups capget capset",
    "message queues and shared memory": "mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr msgget"
    " msgsnd msgrcv msgctl semget semop semtimedop semctl shmget shmat shmdt shmctl",
    "confining oneself further": "seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self",
    "entropy": "getrandom",
}
"""Calls that every container may make, by what they are about. io_uring is not among them: it walks around filters."""

WITH_CAPABILITY = {
    "CAP_BPF": "bpf",
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_PERFMON": "perf_event_open",
    "CAP_SYSLOG": "syslog",
    "CAP_SYS_ADMIN": "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr"
    " lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd"
    " setdomainname sethostname setns syslog umount2 unshare",
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module finit_module init_module",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "CAP_SYS_RAWIO": "ioperm iopl",
    "CAP_SYS_TIME": "clock_settime settimeofday",
    "CAP_SYS_TTY_CONFIG": "vhangup",
}
"""Calls that come with a capability, since they need it anyway or reach far into the kernel."""

EMULATED_FOR_ROOT = (
    "chown", "fchown", "lchown", "fchownat",
    "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setfsuid", "setfsgid", "setgroups",
    "capset", "kexec_load",
)  # fmt: skip
"""Where only one id is mapped these fail for every other id, and package managers give up. They are answered with success
without being made; kexec_load is there so that one can ask whether the emulation is on, for no kernel would grant it."""

PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""Plain Linux, 32-bit uname, both with the name of a 2.6 kernel, and the question which it is (personality(2))."""

REFUSED_FAMILIES = (38, 40)
"""AF_ALG (the kernel's cryptography, a rich source of holes) and AF_VSOCK (a way to the hypervisor's host)."""

NAMESPACE_FLAGS = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET: a namespace of one's own puts more of the kernel in reach."""

_S_IFMT, _S_IFCHR, _S_IFBLK = 0o170000, 0o020000, 0o060000

_ALLOW = bpf.verdict(seccomp.ALLOW)
_REFUSE = bpf.verdict(seccomp.refuse(errno.EPERM))
_UNKNOWN = bpf.verdict(seccomp.refuse(errno.ENOSYS))
_PRETEND = bpf.verdict(seccomp.refuse(0))
_KILL = bpf.verdict(seccomp.KILL_PROCESS)


@functools.cache
def program(capabilities: frozenset[str], *, emulate_root: bool = False, machine: str = os.uname().machine) -> bytes:
    """The filter for a container that keeps `capabilities`, compiled; ready for `linux.seccomp.install`.

    `emulate_root` pretends success where the one id of the container cannot become another. Raises OSError (ENOSYS) on a
    machine whose numbers we do not have.
    """
    if machine not in NUMBERS:
        raise OSError(errno.ENOSYS, f"no system call numbers for {machine}")
    numbers = NUMBERS[machine]
    ways = {numbers[name]: way for name, way in _ways(capabilities, emulate_root).items() if name in numbers}
    highest = max(numbers.values())
    by_number = bpf.when_at_least(highest + 1, _UNKNOWN, bpf.decide(ways, _REFUSE))
    return bpf.load(
        seccomp.ARCHITECTURE, bpf.when_equal(AUDIT_ARCH[machine], bpf.load(seccomp.NUMBER, by_number), _KILL)
    )  # fmt: skip


def _ways(capabilities: frozenset[str], emulate_root: bool) -> dict[str, bytes]:
    """By name of a call, what happens to it; a call without entry is refused."""
    ways = {name: _ALLOW for names in ALWAYS.values() for name in names.split()}
    ways["socket"] = bpf.load(seccomp.argument(0), bpf.one_of(REFUSED_FAMILIES, _REFUSE, _ALLOW))
    ways["personality"] = bpf.load(seccomp.argument(0), bpf.one_of(PERSONALITIES, _ALLOW, _REFUSE))
    ways["clone"] = bpf.load(seccomp.argument(0), bpf.when_any_bit(NAMESPACE_FLAGS, _REFUSE, _ALLOW))
    ways["clone3"] = _UNKNOWN
    for capability in capabilities & WITH_CAPABILITY.keys():
        ways.update(dict.fromkeys(WITH_CAPABILITY[capability].split(), _ALLOW))
    if emulate_root:
        ways.update(dict.fromkeys(EMULATED_FOR_ROOT, _PRETEND))
        ways["mknod"] = _pretend_devices(mode_argument=1)
        ways["mknodat"] = _pretend_devices(mode_argument=2)
    return ways


def _pretend_devices(mode_argument: int) -> bytes:
    """Devices cannot be made in a user namespace, FIFOs and sockets can."""
    return bpf.load(
        seccomp.argument(mode_argument), bpf.mask(_S_IFMT, bpf.one_of((_S_IFCHR, _S_IFBLK), _PRETEND, _ALLOW))
    )  # fmt: skip
