/* Turns a forked child into a step: sets up its mounts, root, identity, capabilities and seccomp filter as Docker does, then executes
   the program. */
#define _GNU_SOURCE
#include "init.h"
#include "user.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int report_fd; /* the parent reads why a step could not be started */

__attribute__((noreturn, format(printf, 2, 3))) static void fail(int code, const char *format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  int n = vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (n > (int)sizeof text - 1) n = sizeof text - 1;
  (void)!write(report_fd, text, (size_t)n);
  _exit(code);
}

/* Returns a detached copy of a mount: made before the root changes, attached after it. `flags` are MOUNT_ATTR_*. */
static int clone_mount(const char *source, unsigned long flags) {
  int tree = open_tree(AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  struct mount_attr attributes = {.attr_set = flags};
  if (tree < 0 || (flags && mount_setattr(tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes)))
    fail(126, "mount %s: %s", source, strerror(errno));
  return tree;
}

static void attach(int tree, const char *target) {
  if (move_mount(tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH)) fail(126, "mount at %s: %s", target, strerror(errno));
  close(tree);
}

/* Makes a path in the step's root with its parents: an empty file if `is_file`, a directory otherwise. */
static void make_path(const char *path, int is_file) {
  char part[4096];
  if (strlen(path) >= sizeof part) fail(126, "path too long");
  strcpy(part, path);
  for (char *slash = part + 1; (slash = strchr(slash, '/')); slash++) {
    *slash = 0;
    mkdir(part, 0755);
    *slash = '/';
  }
  if (!is_file) mkdir(part, 0755);
  else close(open(part, O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0644));
}

static void mount_at(const char *type, const char *target, unsigned long flags, const char *data) {
  make_path(target, 0);
  if (mount(type, target, type, flags, data)) fail(126, "mount %s: %s", target, strerror(errno));
}

static const char *const device_names[] = {"null", "zero", "full", "random", "urandom", "tty"};
#define DEVICES (sizeof device_names / sizeof device_names[0])

static void mount_dev(const int *devices) {
  mount_at("tmpfs", "/dev", MS_NOSUID | MS_NODEV | MS_STRICTATIME, "mode=755,size=65536k");
  char path[64];
  for (size_t i = 0; i < DEVICES; i++) {
    snprintf(path, sizeof path, "/dev/%s", device_names[i]);
    make_path(path, 1);
    attach(devices[i], path);
  }
  mount_at("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
  mount_at("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=65536k");
  mount_at("mqueue", "/dev/mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  static const char *const links[][2] = {{"pts/ptmx", "/dev/ptmx"},         {"/proc/self/fd", "/dev/fd"},
                                         {"/proc/self/fd/0", "/dev/stdin"}, {"/proc/self/fd/1", "/dev/stdout"},
                                         {"/proc/self/fd/2", "/dev/stderr"}, {"/proc/kcore", "/dev/core"}};
  for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) (void)!symlink(links[i][0], links[i][1]);
}

static void mask_paths(void) {
  static const char *const readonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
  static const char *const masked[] = {"/proc/asound",     "/proc/acpi",       "/proc/kcore",       "/proc/keys", "/proc/latency_stats",
                                       "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"};
  for (size_t i = 0; i < sizeof readonly / sizeof readonly[0]; i++) {
    if (access(readonly[i], F_OK)) continue;
    attach(clone_mount(readonly[i], MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC), readonly[i]);
  }
  for (size_t i = 0; i < sizeof masked / sizeof masked[0]; i++) {
    struct stat is;
    if (stat(masked[i], &is)) continue;
    if (S_ISDIR(is.st_mode)) {
      if (mount("tmpfs", masked[i], "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=0k"))
        fail(126, "mask %s: %s", masked[i], strerror(errno));
    } else attach(clone_mount("/dev/null", 0), masked[i]);
  }
}

static void enter_root(struct step *step) {
  int devices[DEVICES], binds[BINDS_MAX];
  char path[64];
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) fail(126, "private mounts: %s", strerror(errno));
  int root = clone_mount(step->root, MOUNT_ATTR_NODEV);
  for (size_t i = 0; i < DEVICES; i++) {
    snprintf(path, sizeof path, "/dev/%s", device_names[i]);
    devices[i] = clone_mount(path, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
  }
  for (int i = 0; i < step->bindc; i++)
    binds[i] = clone_mount(step->binds[i].source, MOUNT_ATTR_NODEV | (step->binds[i].readonly ? MOUNT_ATTR_RDONLY : 0));
  attach(root, "/mnt");
  if (chdir("/mnt") || syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/"))
    fail(126, "root: %s", strerror(errno));
  mount_at("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
  mount_dev(devices);
  mount_at("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL);
  mount_at("cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL);
  mask_paths();
  for (int i = 0; i < step->bindc; i++) {
    struct stat is;
    if (fstat(binds[i], &is)) fail(126, "bind %s: %s", step->binds[i].source, strerror(errno));
    make_path(step->binds[i].target, !S_ISDIR(is.st_mode));
    attach(binds[i], step->binds[i].target);
  }
}

/* Reads a small regular file of the image into `buffer`, ended by a NUL. The text is empty when the file is missing or not regular. */
static const char *read_file(const char *path, char *buffer, size_t size) {
  struct stat is;
  size_t used = 0;
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (file >= 0 && !fstat(file, &is) && S_ISREG(is.st_mode)) {
    ssize_t n;
    while (used < size - 1 && (n = read(file, buffer + used, size - 1 - used)) > 0) used += (size_t)n;
  }
  if (file >= 0) close(file);
  buffer[used] = 0;
  return buffer;
}

static void drop_bounding(void) {
  /* Docker's default capabilities. */
  static const int kept[] = {CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_FOWNER,  CAP_FSETID,           CAP_KILL,  CAP_SETGID,     CAP_SETUID,
                             CAP_SETPCAP, CAP_NET_BIND_SERVICE, CAP_NET_RAW, CAP_SYS_CHROOT, CAP_MKNOD, CAP_AUDIT_WRITE, CAP_SETFCAP};
  uint64_t keep = 0;
  for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) keep |= 1ULL << kept[i];
  for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
    if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0)) fail(126, "capabilities: %s", strerror(errno));
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {{(uint32_t)keep, (uint32_t)keep, 0}, {(uint32_t)(keep >> 32), (uint32_t)(keep >> 32), 0}};
  if (syscall(SYS_capset, &header, data)) fail(126, "capabilities: %s", strerror(errno));
}

/* Returns the value of an environment variable of the step, or NULL. */
static const char *env_value(struct step *step, const char *name) {
  size_t size = strlen(name);
  for (int i = 0; i < step->envc; i++)
    if (!strncmp(step->env[i], name, size) && step->env[i][size] == '=') return step->env[i] + size + 1;
  return NULL;
}

/* Executes the step's program; a name without a slash is looked up in the step's PATH. */
__attribute__((noreturn)) static void exec_program(struct step *step) {
  char *const *argv = (char *const *)step->argv, *const *env = (char *const *)step->env;
  int error = ENOENT;
  if (strchr(argv[0], '/')) {
    execve(argv[0], argv, env);
    error = errno;
  } else {
    const char *path = env_value(step, "PATH");
    char file[4096];
    for (const char *at = path ? path : ""; *at;) {
      size_t size = strcspn(at, ":");
      if (size > 0 && size + 1 + strlen(argv[0]) < sizeof file) {
        snprintf(file, sizeof file, "%.*s/%s", (int)size, at, argv[0]);
        execve(file, argv, env);
        if (errno != ENOENT && errno != ENOTDIR) error = errno;
      }
      at += size + (at[size] == ':');
    }
  }
  fail(error == ENOENT ? 127 : 126, "exec %.200s: %s", argv[0], error == ENOENT ? "not found in the image" : strerror(error));
}

void child_exec(struct step *step, int report) {
  static char passwd[1 << 20], group[1 << 20], home[HOME_MAX + 8];
  static struct identity who;
  sigset_t none;
  sigemptyset(&none);
  report_fd = report;
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  signal(SIGCHLD, SIG_DFL);
  setsid();
  umask(0022);
  int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (score < 0 || write(score, "0", 1) != 1) fail(126, "oom_score_adj: %s", strerror(errno));
  close(score);
  if (sethostname(step->hostname, strlen(step->hostname))) fail(126, "hostname: %s", strerror(errno));
  enter_root(step);
  const char *error =
      identity_of(step->user, read_file("/etc/passwd", passwd, sizeof passwd), read_file("/etc/group", group, sizeof group), &who);
  if (error) fail(126, "user %.100s: %s", step->user, error);
  if (!env_value(step, "HOME")) {
    snprintf(home, sizeof home, "HOME=%s", who.home);
    step->env[step->envc++] = home;
  }
  struct stat is;
  if (stat(step->cwd, &is)) {
    make_path(step->cwd, 0);
    (void)!lchown(step->cwd, who.uid, who.gid);
  }
  if (chdir(step->cwd)) fail(126, "working directory %.200s: %s", step->cwd, strerror(errno));
  struct rlimit no_core = {0, 0}, files = {65536, 65536};
  setrlimit(RLIMIT_CORE, &no_core);
  setrlimit(RLIMIT_NOFILE, &files);
  if (filter_install()) fail(126, "seccomp: %s", strerror(errno));
  /* As in Docker, the primary group is also a supplementary group: otherwise a process could leave it and so read files that are
     closed to this group (CVE-2022-36109). */
  gid_t groups[1 + sizeof who.groups / sizeof who.groups[0]] = {who.gid};
  memcpy(groups + 1, who.groups, (size_t)who.group_count * sizeof groups[0]);
  if (setgroups(1 + (size_t)who.group_count, groups) || setresgid(who.gid, who.gid, who.gid)) fail(126, "groups: %s", strerror(errno));
  drop_bounding();
  if (setresuid(who.uid, who.uid, who.uid)) fail(126, "user: %s", strerror(errno));
  exec_program(step);
}
