/*
 * The parent of one VM: it holds the guest's memory, puts the VMM into its jail, and kills it when its lease runs out on the
 * boot-time clock, even if the agent hangs or dies. When the launcher dies, the VM dies with it.
 *
 *   launcher --lease FD --status FD (--memory MIB:FD [--template FD] | --last FD) [--directory FD] --limits FILE_BYTES:PROCESSES
 *            [--cgroup PROCS_FILE]… [--ids UID:GID [--group GID]] -- COMMAND…
 *
 * The command inherits the descriptors up to that of the memory, or up to the one that --last names for a VM that needs no memory from
 * here; the launcher closes all higher ones. It can make no file larger than FILE_BYTES. With ids of its own, it can have at most
 * PROCESSES processes and threads; without, its user is somebody else's, too, whose processes would count.
 *
 * With --template the VM becomes a template: its memory is allocated in full, and the command also inherits an empty memfd for the state
 * of its devices. When the lease stream says so, the launcher kills the command, and seals both against every change.
 *
 * With --directory the command also inherits a directory that it owns, for sockets: the root of a file system of its own, in memory, which
 * has no name anywhere, and room for DIRECTORY_FILES files and one page. The launcher writes "ready" to the status stream when it is there.
 *
 * Lines on the lease stream: "R <deadline, ms of CLOCK_BOOTTIME>" renews the lease (the first renewal starts the command), "K"
 * kills the command, "S" kills it and seals the template. The end of the lease stream lets the lease run out. At the end the launcher
 * writes one line to the status stream: "<exit code> <signal> <reason> <boot-time ms>".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LEASE_MAX_MS 120000 /* the launcher shortens a longer renewal to this: no lease is that long */
#define CGROUPS_MAX 8
#define FILES_MAX 1024 /* open files of the command */
#define DIRECTORY_FILES "16"

static int lease = -1, status = -1, memory = -1, state = -1, last = -1, directory = -1, has_ids, has_group;
static int start_failed = -1; /* eventfd by which the child reports that it could not execute the command */
static long memory_mib, uid, gid, group, file_bytes, processes;
static const char *cgroups[CGROUPS_MAX];
static int cgroup_count;
static int seals; /* whether the lease stream has asked to seal the template */

static long boot_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec * 1000L + now.tv_nsec / 1000000;
}

/* Reports the command's end and exits. */
__attribute__((noreturn)) static void end(int code, int signal_number, const char *reason) {
  dprintf(status, "%d %d %s %ld\n", code, signal_number, reason, boot_ms());
  _exit(0);
}

__attribute__((noreturn)) static void fail(const char *what) {
  fprintf(stderr, "launcher: %s: %s\n", what, strerror(errno));
  end(125, 0, "start");
}

/* Fails in the child: the parent, not the child, reports the end. */
__attribute__((noreturn)) static void fail_to_start(const char *what) {
  fprintf(stderr, "launcher: %s: %s\n", what, strerror(errno));
  eventfd_write(start_failed, 1);
  _exit(125);
}

/* Parses a decimal number that ends at the character `stop`. Returns the position of `stop`, or NULL. */
static const char *number(const char *text, char stop, long *out) {
  char *after;
  if (*text < '0' || *text > '9') return NULL;
  errno = 0;
  *out = strtol(text, &after, 10);
  return errno || *after != stop ? NULL : after;
}

/* Parses the arguments. Returns the command, or NULL if they are wrong. */
static char **parse(int argc, char **argv) {
  for (int i = 1; i < argc; i += 2) {
    if (!strcmp(argv[i], "--")) return i + 1 < argc ? argv + i + 1 : NULL;
    if (i + 1 >= argc) return NULL;
    const char *value = argv[i + 1], *rest;
    long fd;
    if (!strcmp(argv[i], "--lease") && number(value, 0, &fd)) lease = (int)fd;
    else if (!strcmp(argv[i], "--status") && number(value, 0, &fd)) status = (int)fd;
    else if (!strcmp(argv[i], "--memory") && (rest = number(value, ':', &memory_mib)) && number(rest + 1, 0, &fd)) memory = (int)fd;
    else if (!strcmp(argv[i], "--template") && number(value, 0, &fd)) state = (int)fd;
    else if (!strcmp(argv[i], "--directory") && number(value, 0, &fd)) directory = (int)fd;
    else if (!strcmp(argv[i], "--last") && number(value, 0, &fd)) last = (int)fd;
    else if (!strcmp(argv[i], "--limits") && (rest = number(value, ':', &file_bytes)) && number(rest + 1, 0, &processes)) continue;
    else if (!strcmp(argv[i], "--ids") && (rest = number(value, ':', &uid)) && number(rest + 1, 0, &gid)) has_ids = 1;
    else if (!strcmp(argv[i], "--group") && number(value, 0, &group)) has_group = 1;
    else if (!strcmp(argv[i], "--cgroup") && cgroup_count < CGROUPS_MAX) cgroups[cgroup_count++] = value;
    else return NULL;
  }
  return NULL;
}

/* A process of the command that was killed may hold the memory for a moment: the kernel does not seal what can be written. */
static void seal(int file, int which) {
  for (int tries = 0; fcntl(file, F_ADD_SEALS, which); tries++) {
    if (errno != EBUSY || tries == 1000) fail("seal");
    nanosleep(&(struct timespec){0, 1000000}, NULL);
  }
}

/* Moves a descriptor to this number, without close-on-exec. */
static void move(int created, int number, const char *what) {
  if (created == number) {
    fcntl(created, F_SETFD, 0);
    return;
  }
  if (created < 0 || dup2(created, number) < 0) fail(what);
  close(created);
}

/* Makes a memfd under this descriptor number. */
static void make_memfd(const char *name, int number) { move(memfd_create(name, MFD_ALLOW_SEALING | MFD_CLOEXEC), number, name); }

/* Makes the guest's memory, sealed against changes of its size, under the descriptor number that the VMM expects. */
static void make_memory(void) {
  make_memfd("guest-memory", memory);
  if (ftruncate(memory, memory_mib << 20)) fail("guest memory");
  /* A page that a template lacks would be allocated by the first clone that touches it, and stay after that clone. */
  if (state >= 0 && fallocate(memory, 0, 0, memory_mib << 20)) fail("guest memory");
  seal(memory, F_SEAL_GROW | F_SEAL_SHRINK);
  if (state >= 0) make_memfd("device-state", state);
  else seal(memory, F_SEAL_SEAL);
}

/* Makes the directory of the command's user. What is in it belongs to the cgroup of the process that makes it. */
static void make_directory(void) {
  int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
  char number[2][24];
  snprintf(number[0], sizeof number[0], "%ld", uid), snprintf(number[1], sizeof number[1], "%ld", gid);
  const char *const options[][2] = {{"size", "4k"}, {"nr_inodes", DIRECTORY_FILES}, {"mode", "0700"}, {"uid", number[0]}, {"gid", number[1]}};
  for (size_t i = 0; fs >= 0 && i < sizeof options / sizeof options[0]; i++)
    if (fsconfig(fs, FSCONFIG_SET_STRING, options[i][0], options[i][1], 0)) fail("directory");
  if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0)) fail("directory");
  int root = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  close(fs); /* it may have the number of the directory */
  move(root, directory, "directory");
  dprintf(status, "ready\n");
}

/* Seals the memory and the state of a template. Its parent has opened both, and keeps them. */
static void seal_template(void) {
  seal(memory, F_SEAL_WRITE | F_SEAL_SEAL);
  seal(state, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_WRITE | F_SEAL_SEAL);
}

static void join_cgroups(void (*failed)(const char *)) {
  for (int i = 0; i < cgroup_count; i++) {
    int procs = open(cgroups[i], O_WRONLY | O_CLOEXEC);
    if (procs < 0 || write(procs, "0", 1) != 1) failed(cgroups[i]);
    close(procs);
  }
}

/* Mounts the /proc of the child's own pid namespace, out of sight of everybody else: bubblewrap looks for its child in it. */
static void mount_proc(void) {
  if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)
      || mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL)) fail_to_start("/proc");
}

static void empty_bounding_set(void) {
  for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
    if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0)) fail_to_start("capabilities");
}

/* Lowers a limit. A lower one of the caller stays: the process may have lost the right to raise it. */
static void limit(int resource, long most) {
  struct rlimit own;
  if (getrlimit((__rlimit_resource_t)resource, &own)) fail_to_start("limits");
  rlim_t lower = own.rlim_max < (rlim_t)most ? own.rlim_max : (rlim_t)most;
  struct rlimit both = {lower, lower};
  if (setrlimit((__rlimit_resource_t)resource, &both)) fail_to_start("limits");
}

/* Sets what the process may use besides what its cgroup limits. It has no right to raise a limit again. */
static void set_limits(void) {
  limit(RLIMIT_CORE, 0); /* a core would hold the guest's memory */
  limit(RLIMIT_NOFILE, FILES_MAX);
  limit(RLIMIT_FSIZE, file_bytes);
  limit(RLIMIT_MEMLOCK, 0);
  limit(RLIMIT_MSGQUEUE, 0);
  if (has_ids) limit(RLIMIT_NPROC, processes);
}

/* In the child: joins the cgroups, drops ids and capabilities, sets limits, and executes the command. */
__attribute__((noreturn)) static void exec_command(char **command, int parent) {
  join_cgroups(fail_to_start);
  if (has_ids) {
    mount_proc();
    empty_bounding_set();
    gid_t further = (gid_t)group; /* which lets it open files again that it has inherited */
    if (setgroups((size_t)has_group, &further) || setresgid((gid_t)gid, (gid_t)gid, (gid_t)gid) || setresuid((uid_t)uid, (uid_t)uid, (uid_t)uid)) fail_to_start("ids");
  }
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) fail_to_start("privileges");
  set_limits();
  /* After the change of ids, which clears this setting. The parent may have died before it took effect. */
  struct pollfd dead = {parent, POLLIN, 0};
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) || poll(&dead, 1, 0)) _exit(125);
  fcntl(status, F_SETFD, FD_CLOEXEC);
  fcntl(lease, F_SETFD, FD_CLOEXEC);
  execv(command[0], command);
  fail_to_start(command[0]);
}

/* Keeps only the capability to kill a process of another uid. */
static void drop_privileges(void) {
  unsigned keep = has_ids ? 1U << CAP_KILL : 0;
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct data[2] = {{keep, keep, 0}, {0, 0, 0}};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || syscall(SYS_capset, &header, data)) fail("capabilities");
}

/* Reads lines from the lease stream. Returns the newest deadline (0: none), or -1 for "K", "S" or a malformed line. Clears `*open` at
   the end of the stream. */
static long read_lease(int *open) {
  static char line[64];
  static size_t size;
  long deadline = 0;
  for (;;) {
    ssize_t n = recv(lease, line + size, sizeof line - 1 - size, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return deadline;
    if (n <= 0) {
      *open = 0;
      return deadline;
    }
    size += (size_t)n;
    line[size] = 0;
    for (char *newline; (newline = strchr(line, '\n'));) {
      long requested;
      *newline = 0;
      if (!strcmp(line, "S")) seals = state >= 0;
      if (line[0] != 'R' || line[1] != ' ' || !number(line + 2, 0, &requested)) return -1;
      long latest = boot_ms() + LEASE_MAX_MS;
      deadline = requested < latest ? requested : latest;
      size -= (size_t)(newline + 1 - line);
      memmove(line, newline + 1, size + 1);
    }
    if (size == sizeof line - 1) return -1;
  }
}

/* Sets the timer to a deadline on the boot-time clock. */
static void arm(int timer, long deadline) {
  struct itimerspec when = {.it_value = {deadline / 1000, deadline % 1000 * 1000000 + 1}};
  if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL)) fail("timer");
}

/* Waits for the first renewal and returns its deadline. Without a lease that is still valid, the command never runs. */
static long wait_for_lease(void) {
  for (int open = 1;;) {
    struct pollfd wait = {lease, POLLIN, 0};
    if (poll(&wait, 1, LEASE_MAX_MS) == 0) end(-1, 0, "lease");
    long deadline = read_lease(&open);
    if (deadline < 0) end(-1, 0, "killed");
    if (deadline > 0 && deadline <= boot_ms()) end(-1, 0, "lease");
    if (deadline > 0) return deadline;
    if (!open) end(-1, 0, "lease");
  }
}

int main(int argc, char **argv) {
  char **command = parse(argc, argv);
  int makes_memory = memory >= 0 && memory_mib > 0 && last < 0, inherits_memory = last >= 0 && memory < 0 && state < 0;
  if (!command || lease < 0 || status < 0 || (!makes_memory && !inherits_memory) || file_bytes < 1 || processes < 1) {
    fprintf(stderr, "launcher: wrong arguments\n");
    return 125;
  }
  signal(SIGPIPE, SIG_IGN);
  if (close_range((unsigned)(makes_memory ? memory : last) + 1, ~0U, 0)) fail("descriptors");
  if (state >= 0) join_cgroups(fail); /* what a template holds belongs to its own cgroup, not to that of the launcher's parent */
  if (makes_memory) make_memory();
  if (directory >= 0) make_directory();
  long deadline = wait_for_lease();
  if ((start_failed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0) fail("event");
  /* When the command dies, so does everything that it started, at any moment: bubblewrap's own child is not yet bound to it while
     it waits for its namespaces. Without root, bubblewrap's binding has to do. */
  if (has_ids && unshare(CLONE_NEWPID)) fail("pid namespace");
  int self = (int)syscall(SYS_pidfd_open, getpid(), 0); /* close-on-exec, as all of these */
  if (self < 0) fail("pidfd");
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) exec_command(command, self);
  int handle = (int)syscall(SYS_pidfd_open, child, 0), timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC);
  if (handle < 0 || timer < 0) fail("pidfd");
  drop_privileges();
  arm(timer, deadline);
  const char *reason = "exited";
  for (int open = 1;;) {
    struct pollfd wait[] = {{handle, POLLIN, 0}, {timer, POLLIN, 0}, {open ? lease : -1, POLLIN, 0}};
    if (poll(wait, 3, -1) < 0 && errno != EINTR) fail("poll");
    int over = 0;
    if (wait[2].revents) {
      long renewed = read_lease(&open);
      if (renewed > 0) arm(timer, renewed);
      if (renewed < 0) reason = "killed", over = 1;
    } else if (wait[1].revents) reason = "lease", over = 1;
    if (over) {
      syscall(SYS_pidfd_send_signal, handle, SIGKILL, NULL, 0);
      arm(timer, boot_ms() + LEASE_MAX_MS);
      open = 0;
    }
    if (wait[0].revents) {
      int how;
      eventfd_t failed;
      waitpid(child, &how, 0);
      if (!eventfd_read(start_failed, &failed)) reason = "start";
      else if (seals && lseek(state, 0, SEEK_END) > 0) seal_template(), reason = "sealed";
      end(WIFEXITED(how) ? WEXITSTATUS(how) : -1, WIFSIGNALED(how) ? WTERMSIG(how) : 0, reason);
    }
  }
}
