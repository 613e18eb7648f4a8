#define _GNU_SOURCE
#include "attack.h"
#include <stdlib.h>
#include <unistd.h>

void attack_pids(void) {
  int count = 0;
  for (pid_t child; count < 10000 && (child = fork()) >= 0; count++)
    if (child == 0) pause();
  say("children", "%d", count);
  report("one more", fork());
  _exit(0);
}

void attack_memory(int mebibytes) {
  for (int i = 0; i < mebibytes; i++) {
    volatile char *more = malloc(1 << 20);
    for (size_t at = 0; more && at < 1 << 20; at += 4096) more[at] = 1;
  }
}

void attack_cpu(int count) {
  while (--count > 0 && fork() > 0) {
  }
  for (;;) {
  }
}
