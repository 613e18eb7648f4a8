/* Init's control port on descriptor 3 with its real commands, except those that would change this machine. A step is written to
   stdout as init parsed it, and ends at once. */
#define _GNU_SOURCE
#include "../init.h"
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

int ports[PORTS] = {3};
int ports_dial_again(void) { return 0; }
static struct message message;

int clock_settime(clockid_t clock, const struct timespec *time) { return (void)clock, (void)time, 0; }
int ioctl(int fd, unsigned long request, ...) { return (void)fd, (void)request, 0; }

void die(const char *format, ...) {
  va_list args;
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  exit(0);
}

static void answer(const char *verb, const char *id, const char *const *rest) {
  message_begin(&message, verb);
  for (message_text(&message, id); *rest; rest++) message_text(&message, *rest);
  control_send(&message);
}

void runner_step(struct step *step) {
  static struct message parsed;
  message_begin(&parsed, "step");
  const char *const texts[] = {step->id, step->root, step->user, step->cwd, step->hostname};
  for (int i = 0; i < 5; i++) message_text(&parsed, texts[i]);
  const long numbers[] = {step->memory, step->pids,   step->deadline, step->stop_signal, step->grace,
                          step->rows,   step->columns, step->argc,  step->envc,        step->bindc, step->volumec};
  for (int i = 0; i < 11; i++) message_number(&parsed, numbers[i]);
  for (int i = 0; i < step->argc; i++) message_text(&parsed, step->argv[i]);
  for (int i = 0; i < step->envc; i++) message_text(&parsed, step->env[i]);
  for (int i = 0; i < step->bindc; i++) {
    message_text(&parsed, step->binds[i].source), message_text(&parsed, step->binds[i].target);
    message_text(&parsed, step->binds[i].readonly ? "ro" : "rw");
  }
  for (int i = 0; i < step->volumec; i++) message_text(&parsed, step->volumes[i]);
  message_end(&parsed);
  if (!parsed.failed && write(1, parsed.data, parsed.size) != (ssize_t)parsed.size) exit(1);
  answer("started", step->id, (const char *const[]){NULL});
  answer("exited", step->id, (const char *const[]){"0", "0", "0", "0", "exit", "", NULL});
}

int runner_busy(void) { return 0; }
int collect_busy(void) { return 0; }
void collect_begin(const struct frame *frame, int as_archive) { (void)frame, (void)as_archive; }
void runner_stop(const char *id) { answer("stopped", id, (const char *const[]){NULL}); }
void runner_resize(const char *id, long rows, long columns) {
  char size[32];
  snprintf(size, sizeof size, "%ldx%ld", rows, columns);
  answer("resized", id, (const char *const[]){size, NULL});
}
void runner_stdin_end(const char *id, long total) { (void)id, (void)total; }

int main(void) {
  answer("ready", "1", (const char *const[]){NULL});
  for (struct pollfd wait = {ports[CONTROL], POLLIN, 0};; poll(&wait, 1, -1)) control_turn();
}
