/* Turns a forked child into a step: sets up its root, identity, capabilities and seccomp filter as Docker does, then executes the
   program. */
#define _GNU_SOURCE
#include "init.h"
#include "user.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REPORT_FD 3 /* the parent reads why a step could not be started */

void child_fail(int code, const char *format, ...) {
  char text[512];
  va_list args;
  va_start(args, format);
  int n = vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (n > (int)sizeof text - 1) n = sizeof text - 1;
  (void)!write(REPORT_FD, text, (size_t)n);
  _exit(code);
}

/* Reads a small regular file of the image's own file system into `buffer`, ended by a NUL. The text is empty when there is none. */
static const char *read_file(const char *path, char *buffer, size_t size) {
  struct stat is;
  size_t used = 0;
  int file = walk_open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY, RESOLVE_NO_XDEV);
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
    if (!(keep >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0)) child_fail(126, "capabilities: %s", strerror(errno));
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {{(uint32_t)keep, (uint32_t)keep, 0}, {(uint32_t)(keep >> 32), (uint32_t)(keep >> 32), 0}};
  if (syscall(SYS_capset, &header, data)) child_fail(126, "capabilities: %s", strerror(errno));
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
  child_fail(error == ENOENT ? 127 : 126, "exec %.200s: %s", argv[0], error == ENOENT ? "not found in the image" : strerror(error));
}

void child_exec(struct step *step, int report) {
  static char passwd[1 << 20], group[1 << 20], home[HOME_MAX + 8];
  static struct identity who;
  sigset_t none;
  sigemptyset(&none);
  /* No descriptor of init is left when the first path of the image is walked. */
  if (report != REPORT_FD && dup3(report, REPORT_FD, O_CLOEXEC) < 0) _exit(126);
  if (close_range(REPORT_FD + 1, ~0U, 0)) child_fail(126, "descriptors: %s", strerror(errno));
  sigprocmask(SIG_SETMASK, &none, NULL);
  signal(SIGPIPE, SIG_DFL);
  signal(SIGCHLD, SIG_DFL);
  setsid();
  umask(0022);
  int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (score < 0 || write(score, "0", 1) != 1) child_fail(126, "oom_score_adj: %s", strerror(errno));
  close(score);
  if (sethostname(step->hostname, strlen(step->hostname))) child_fail(126, "hostname: %s", strerror(errno));
  enter_root(step);
  const char *error =
      identity_of(step->user, read_file("/etc/passwd", passwd, sizeof passwd), read_file("/etc/group", group, sizeof group), &who);
  if (error) child_fail(126, "user %.100s: %s", step->user, error);
  if (!env_value(step, "HOME")) {
    snprintf(home, sizeof home, "HOME=%s", who.home);
    step->env[step->envc++] = home;
  }
  int made, cwd = walk_make(step->cwd, 0, &made);
  if (made) (void)!fchownat(cwd, "", who.uid, who.gid, AT_EMPTY_PATH);
  if (cwd < 0 || fchdir(cwd)) child_fail(126, "working directory %.200s: %s", step->cwd, strerror(errno));
  close(cwd);
  struct rlimit no_core = {0, 0}, files = {65536, 65536};
  setrlimit(RLIMIT_CORE, &no_core);
  setrlimit(RLIMIT_NOFILE, &files);
  if (filter_install()) child_fail(126, "seccomp: %s", strerror(errno));
  /* As in Docker, the primary group is also a supplementary group: otherwise a process could leave it and so read files that are
     closed to this group (CVE-2022-36109). */
  gid_t groups[1 + sizeof who.groups / sizeof who.groups[0]] = {who.gid};
  memcpy(groups + 1, who.groups, (size_t)who.group_count * sizeof groups[0]);
  if (setgroups(1 + (size_t)who.group_count, groups) || setresgid(who.gid, who.gid, who.gid)) child_fail(126, "groups: %s", strerror(errno));
  drop_bounding();
  if (setresuid(who.uid, who.uid, who.uid)) child_fail(126, "user: %s", strerror(errno));
  exec_program(step);
}
