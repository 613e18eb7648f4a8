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
  if (step->rows && terminal_open(step)) child_fail(126, "terminal: %s", strerror(errno));
  /* The step's user may open its own streams again, by their names in /dev. */
  for (int stream = 0; stream <= 2; stream++)
    if (fchown(stream, who.uid, (gid_t)-1)) child_fail(126, "stream %d: %s", stream, strerror(errno));
  const char **variable = step_variable(step, "HOME");
  if (!variable) variable = &step->env[step->envc++];
  if (!*variable || !strcmp(*variable, "HOME=")) { /* as in Docker, an empty home is none */
    snprintf(home, sizeof home, "HOME=%s", who.home);
    *variable = home;
  }
  for (int i = 0; i < step->volumec; i++) {
    int is_new, volume = walk_make(step->volumes[i], 0, &is_new);
    if (volume < 0) child_fail(126, "volume %.200s: %s", step->volumes[i], strerror(errno));
    close(volume);
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
