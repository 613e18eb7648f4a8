/* The one program of the guest: it boots, serves the host over the channel (../../channel/README.md) and runs steps. */
#ifndef INIT_H
#define INIT_H
#include "frame.h"
#include <stdint.h>
#include <sys/types.h>

enum port { CONTROL, STDIN, STDOUT, STDERR, BULK, PORTS };
extern int ports[PORTS]; /* descriptors, non-blocking */

/* boot.c: everything up to open ports. Ends the VM when it cannot. */
void boot(int argc, char **argv);
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

/* child.c: what a step is, and its side of the start. */
#define BINDS_MAX 32
#define ARGS_MAX 2048
struct bind {
  const char *source, *target;
  int readonly;
};
struct step {
  const char *id, *root, *user, *cwd, *hostname;
  const char *argv[ARGS_MAX + 1], *env[ARGS_MAX + 2]; /* env keeps a place for HOME */
  int argc, envc, bindc;
  struct bind binds[BINDS_MAX];
  long memory, pids, deadline; /* bytes, processes, ms; 0: none */
};
/* Turns the calling child into the step. Writes a sentence to `report` and exits 126 or 127 when it cannot. */
__attribute__((noreturn)) void child_become(struct step *step, int report);
/* filter.c */
int filter_install(void);

/* pump.c: bytes from one descriptor to another, through one bounded buffer, with back-pressure. */
struct pump {
  int from, to; /* -1: closed */
  uint64_t read, limit; /* bytes read so far; stop reading at `limit` */
  size_t start, end;
  char buffer[65536];
};
void pump_open(struct pump *pump, int from, int to, uint64_t limit);
/* Moves what can be moved without blocking. A vanished reader swallows the rest. */
void pump_run(struct pump *pump);
int pump_wants_read(const struct pump *pump);
int pump_wants_write(const struct pump *pump);
/* Source at its end (or limit) and everything delivered. */
int pump_done(const struct pump *pump);

/* Descriptors and what is waited for on them, for poll(): every `_poll` writes some, and returns how many. */
struct pollfd;

/* collect.c: a file that a step left, on its way to the host. */
void collect_file(const struct frame *frame);
int collect_busy(void);
int collect_poll(struct pollfd *out);
void collect_turn(void);

/* runner.c: the running step. */
void runner_step(struct step *step);
void runner_stdin_end(const char *id, long total);
int runner_busy(void);
int runner_poll(struct pollfd *out);
/* Moves bytes, reaps children, reports ends. `now` in ms of the monotonic clock. */
void runner_turn(long now);
/* ms until the running step's deadline; -1: none. */
long runner_timeout(long now);

/* control.c: the control port. */
void control_turn(void);
int control_wants_write(void);
void control_send(struct message *message);
void control_failed(const char *verb, int error, const char *text);
void control_run(const struct frame *frame); /* commands.c */

/* clock.c */
long monotonic_ms(void);
#endif
