/*
 * Prints the seccomp filters of a process's threads: `read-filters PID`, as root. One line for each filter: the thread, a space, and
 * the filter's instructions (`struct sock_filter`) in hexadecimal. The filter that was installed first comes first.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <linux/filter.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define INSTRUCTIONS_MAX 4096

static void print_filters(pid_t thread) {
  static struct sock_filter filter[INSTRUCTIONS_MAX];
  if (ptrace(PTRACE_SEIZE, thread, 0, 0)) return; /* it has just ended */
  if (ptrace(PTRACE_INTERRUPT, thread, 0, 0) || waitpid(thread, NULL, __WALL) < 0) exit(1);
  for (long index = 0;; index++) {
    long count = ptrace(PTRACE_SECCOMP_GET_FILTER, thread, index, filter);
    if (count < 0) break;
    printf("%d ", thread);
    for (long byte = 0; byte < count * (long)sizeof *filter; byte++) printf("%02x", ((unsigned char *)filter)[byte]);
    putchar('\n');
  }
  ptrace(PTRACE_DETACH, thread, 0, 0);
}

int main(int count, char **argv) {
  char path[64];
  struct dirent *entry;
  if (count != 2) return 2;
  snprintf(path, sizeof path, "/proc/%d/task", atoi(argv[1]));
  DIR *threads = opendir(path);
  if (!threads) return 1;
  while ((entry = readdir(threads)))
    if (entry->d_name[0] != '.') print_filters(atoi(entry->d_name));
  return 0;
}
