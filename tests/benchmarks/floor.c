/* The floor: what making a container costs in C, with nothing prepared ahead.
 *
 *   floor LAYERS STATE PROGRAM [ARG...]      LAYERS as overlayfs takes them: top:...:bottom
 *
 * The steps pyck takes: namespaces (a user namespace too unless root), overlay, /proc, /dev, /sys, masked paths, pivot_root,
 * loopback up, no new privileges, a small capability set, a seccomp filter, exec. Prints the nanoseconds from the request
 * to the end of the clean-up: its own start is not in them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char text[8192];

static void must(int failed, const char *what)
{
    if (failed) {
        fprintf(stderr, "%s: %s\n", what, strerror(errno));
        _exit(125);
    }
}

static char *say(const char *form, ...)
{
    va_list list;
    va_start(list, form);
    vsnprintf(text, sizeof text, form, list);
    va_end(list);
    return text;
}

static void put(const char *path, const char *words)
{
    int file = open(path, O_WRONLY | O_CLOEXEC);
    must(file < 0 || write(file, words, strlen(words)) < 0, path);
    close(file);
}

static int forget(const char *path, const struct stat *seen, int kind, struct FTW *place)
{
    (void)seen, (void)kind, (void)place;
    return remove(path);
}

static void devices(void)
{
    static const char *nodes[] = {"null", "zero", "full", "random", "urandom", "tty"};
    must(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755,size=64k"), "/dev");
    for (unsigned n = 0; n < sizeof nodes / sizeof *nodes; n++) {
        char from[32], to[32];
        snprintf(from, sizeof from, "/dev/%s", nodes[n]);
        snprintf(to, sizeof to, "dev/%s", nodes[n]);
        close(open(to, O_CREAT | O_WRONLY | O_CLOEXEC, 0666));
        must(mount(from, to, NULL, MS_BIND, NULL), from);
    }
    must(mkdir("dev/pts", 0755) || mkdir("dev/shm", 01777), "/dev/pts");
    must(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"), "devpts");
    must(mount("tmpfs", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=64m"), "/dev/shm");
    must(symlink("pts/ptmx", "dev/ptmx") || symlink("/proc/self/fd", "dev/fd"), "/dev links");
}

static void confine(void)
{
    struct sock_filter refuse_ptrace[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ptrace, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof refuse_ptrace / sizeof *refuse_ptrace, refuse_ptrace};
    const unsigned docker = 0xa80425fb; /* the set docker run leaves */
    for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
        if (cap > 31 || !(docker >> cap & 1))
            prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct caps[2] = {{docker, docker, docker}, {0, 0, 0}};
    must(syscall(SYS_capset, &head, caps) != 0, "capset");
    must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
    must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), "seccomp");
}

static void newborn(char **argv, int user_namespace, int uid, int gid)
{
    static const char *masked[] = {"proc/kcore", "proc/keys", "proc/timer_list", "proc/sysrq-trigger"};
    const char *state = argv[2];
    if (user_namespace) {
        put("/proc/self/setgroups", "deny");
        put("/proc/self/uid_map", say("0 %d 1", uid));
        put("/proc/self/gid_map", say("0 %d 1", gid));
    }
    must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "private mounts");
    must(chdir(state), state);
    say("lowerdir=%s,upperdir=upper,workdir=work%s", argv[1], user_namespace ? ",userxattr" : ",volatile");
    must(mount("overlay", "merged", "overlay", 0, text), "overlay");
    must(chdir("merged"), "merged");
    must(mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), "/proc");
    devices();
    must(mount("sysfs", "sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL), "/sys");
    for (int n = 0; n < 4; n++)
        must(mount("dev/null", masked[n], NULL, MS_BIND, NULL) && errno != ENOENT, masked[n]);
    must(mount("proc/sys", "proc/sys", NULL, MS_BIND | MS_REC, NULL), "/proc/sys");
    must(mount(NULL, "proc/sys", NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL), "/proc/sys ro");
    must(sethostname("floor", 5), "hostname");
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int link = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    must(ioctl(link, SIOCSIFFLAGS, &lo), "lo up");
    must(syscall(SYS_pivot_root, ".", ".") != 0, "pivot_root");
    must(umount2(".", MNT_DETACH) || chdir("/"), "the old root");
    confine();
    char *const env[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    execvpe(argv[3], argv + 3, env);
    must(1, argv[3]);
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 125;
    struct timespec began, ended;
    clock_gettime(CLOCK_MONOTONIC, &began);
    int uid = getuid(), gid = getgid(), user_namespace = uid != 0, status = 0;
    must(mkdir(argv[2], 0700), argv[2]);
    static const char *parts[] = {"upper", "work", "merged"};
    for (int n = 0; n < 3; n++)
        must(mkdir(say("%s/%s", argv[2], parts[n]), 0755), text);
    int flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP;
    int child = syscall(SYS_clone, flags | (user_namespace ? CLONE_NEWUSER : 0) | SIGCHLD, 0, 0, 0, 0);
    must(child < 0, "clone");
    if (!child)
        newborn(argv, user_namespace, uid, gid);
    must(waitpid(child, &status, 0) < 0, "wait");
    chmod(say("%s/work/work", argv[2]), 0700);
    nftw(argv[2], forget, 16, FTW_DEPTH | FTW_PHYS);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    printf("%lld\n", (ended.tv_sec - began.tv_sec) * 1000000000LL + ended.tv_nsec - began.tv_nsec);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
