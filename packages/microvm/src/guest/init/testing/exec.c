/* Executes argv[2] and its arguments with the PATH argv[1], as a step does. Prints the message when this fails. */
#define _GNU_SOURCE
#include "../init.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void child_fail(int code, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vprintf(format, args);
  va_end(args);
  exit(code);
}

int main(int argc, char **argv) {
  static struct step step;
  static char path[4096];
  if (argc < 3) return 2;
  snprintf(path, sizeof path, "PATH=%s", argv[1]);
  step.env[step.envc++] = path;
  for (int i = 2; i < argc; i++) step.argv[step.argc++] = argv[i];
  exec_program(&step);
}
