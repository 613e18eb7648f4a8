/* Evaluates the step's filter for calls from stdin: lines of architecture, number and first argument. Prints what the filter returns. */
#define _GNU_SOURCE
#include "../init.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct sock_fprog *program;

/* Keeps the program in place of installing it. */
int prctl(int option, ...) {
  va_list args;
  va_start(args, option);
  (void)va_arg(args, int);
  program = va_arg(args, const struct sock_fprog *);
  va_end(args);
  return 0;
}

/* Runs the program as the kernel does. Ends this process at an instruction that the filter is not known to use. */
static unsigned run(const struct seccomp_data *call) {
  unsigned a = 0;
  for (unsigned at = 0; at < program->len; at++) {
    const struct sock_filter *f = &program->filter[at];
    if (f->code == (BPF_LD | BPF_W | BPF_ABS)) memcpy(&a, (const char *)call + f->k, sizeof a);
    else if (f->code == (BPF_JMP | BPF_JEQ | BPF_K)) at += a == f->k ? f->jt : f->jf;
    else if (f->code == (BPF_JMP | BPF_JGE | BPF_K)) at += a >= f->k ? f->jt : f->jf;
    else if (f->code == (BPF_RET | BPF_K)) return f->k;
    else abort();
  }
  abort();
}

int main(void) {
  struct seccomp_data call = {0};
  filter_install();
  while (scanf("%u %i %llu", &call.arch, &call.nr, (unsigned long long *)&call.args[0]) == 3) printf("%x\n", run(&call));
  return 0;
}
