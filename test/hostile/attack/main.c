#define _GNU_SOURCE
#include "attack.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void say(const char *name, const char *format, ...) {
  va_list args;
  va_start(args, format);
  printf("%s\t", name);
  vprintf(format, args);
  printf("\n");
  fflush(stdout);
  va_end(args);
}

void report(const char *name, long result) { say(name, "%s", result >= 0 ? "done" : strerrorname_np(errno)); }

void report_child(const char *name, long (*attempt)(void)) {
  int status;
  pid_t child = fork();
  if (child == 0) _exit(attempt() >= 0 ? 0 : errno);
  if (child < 0 || waitpid(child, &status, 0) < 0) return report(name, -1);
  if (WIFSIGNALED(status)) return say(name, "SIG%s", sigabbrev_np(WTERMSIG(status)));
  errno = WEXITSTATUS(status);
  report(name, errno ? -1 : 0);
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*run)(void);
  } parts[] = {{"processes", attack_processes}, {"devices", attack_devices}, {"abis", attack_abis},
               {"privileges", attack_privileges}, {"files", attack_files}, {"user-namespace", attack_user_namespace},
               {"here", attack_from_here}, {"pids", attack_pids}};
  if (argc > 2 && !strcmp(argv[1], "cpu")) attack_cpu(atoi(argv[2]));
  if (argc > 2 && !strcmp(argv[1], "memory")) attack_memory(atoi(argv[2]));
  for (int i = 1; i < argc; i++)
    for (size_t part = 0; part < sizeof parts / sizeof parts[0]; part++)
      if (!strcmp(argv[i], parts[part].name)) parts[part].run();
  return 0;
}
