/* Init is the guest's only program: it boots, serves the host over the channel (../../channel/README.md) and runs steps. */
#ifndef INIT_H
#define INIT_H
#include "frame.h"
#include <stdint.h>
#include <sys/types.h>

enum port { CONTROL, STDIN, STDOUT, STDERR, BULK, PORTS };

/* ports.c */
extern int ports[PORTS]; /* descriptors, non-blocking */
/* Opens the ports, or ends the VM. */
void ports_open(void);
/* Dials the host again after the ports were lost. Returns 0 when they are ports that cannot be dialled. */
int ports_dial_again(void);

#define ID_MAX 63 /* longest id of a step or a collected file */
#define PATH_LIMIT 1000 /* longest path in a command of the host */

/* boot.c. Boots until the ports are open, or ends the VM. */
void boot(int argc, char **argv);
/* Writes the reason to the console and ends the VM. */
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

/* child.c: the process that becomes a step. */
#define BINDS_MAX 512
#define VOLUMES_MAX 256
#define ARGS_MAX 4096 /* as many arguments, and as many variables */
struct bind {
  const char *source, *target;
  int readonly;
};
struct step {
  const char *id, *root, *user, *cwd, *hostname;
  const char *argv[ARGS_MAX + 1], *env[ARGS_MAX + 2]; /* env has room for one more variable, HOME */
  int argc, envc, bindc, volumec;
  struct bind binds[BINDS_MAX];
  const char *volumes[VOLUMES_MAX]; /* directories that are made where the image has none */
  long memory, pids, deadline; /* bytes, processes, ms; 0: no limit */
  long stop_signal, grace; /* what asks the step to end, and the ms that it has then */
  long rows, columns; /* the size of its terminal; 0: it has none */
};
/* Executes the step in the calling child. When it fails, it writes a message to `report` and exits with 126 or 127. If the step has a
   terminal, stdin is a socket, over which the child sends the terminal's two ends: `terminal_take` receives them. */
__attribute__((noreturn)) void child_exec(struct step *step, int report);
/* Ends the child with this exit code and a message to the parent. */
__attribute__((noreturn, format(printf, 2, 3))) void child_fail(int code, const char *format, ...);
/* exec.c. Executes the step's program; a name without a slash is looked up in the step's PATH. Fails with 127 if the program or its
   interpreter is missing, with 126 if it cannot be executed, and names the one or the other. */
__attribute__((noreturn)) void exec_program(struct step *step);
/* Returns the place of an environment variable of the step, or NULL. */
const char **step_variable(struct step *step, const char *name);
/* terminal.c: the terminal of a step. */
#define TERMINAL_MAX 1000 /* most rows, and most columns */
/* In the child: opens a terminal in the step's own /dev, sends both ends over stdin, and makes one of them the controlling terminal and
   stdin, stdout and stderr. Returns 0, or -1 with errno. */
int terminal_open(const struct step *step);
/* Receives the ends of a terminal. Returns 1, 0 when they are not there yet, or -1 when they never come. */
int terminal_take(int from, int ends[2]);
/* Sets the size of a terminal; does nothing with a size that is none. */
void terminal_resize(int master, long rows, long columns);
/* root.c. Makes the step's mounts and moves the child into them. */
void enter_root(const struct step *step);

/* walk.c: walks paths that an image, a repository or a step controls. The working directory is the root of each walk: no link leads
   out of it, and the magic links of /proc, which lead to what a process has open, are not followed. Both functions return a
   descriptor, or -1 with errno. */
int walk_open(const char *path, uint64_t flags, uint64_t resolve);
/* Makes the path with its parents where it is missing: an empty file if `is_file`, a directory otherwise. `made` is set to whether the
   last directory was made. A link in place of the file is not followed. */
int walk_make(const char *path, int is_file, int *made);
/* filter.c. Installs the step's seccomp filter. Returns 0, or -1 with errno. */
int filter_install(void);

/* pump.c: moves bytes from one descriptor to another through one bounded buffer, with backpressure. */
struct pump {
  int from, to; /* -1: closed */
  uint64_t read, limit; /* bytes read so far; the pump stops reading at `limit` */
  size_t start, end;
  char buffer[65536];
};
void pump_open(struct pump *pump, int from, int to, uint64_t limit);
/* Moves what can be moved without blocking. When the reader is gone, the pump discards the rest. */
void pump_run(struct pump *pump);
int pump_wants_read(const struct pump *pump);
int pump_wants_write(const struct pump *pump);
/* Returns whether the source has ended (or reached the limit) and every byte was written. */
int pump_done(const struct pump *pump);

/* Every `_poll` function writes the descriptors that it waits for to `out`, and returns how many. */
struct pollfd;

/* collect.c: sends what a step left to the host. */
void collect_begin(const struct frame *frame, int as_archive);
/* Ends the child that collects with its verdict: a status of the protocol, a blank, and a message. */
__attribute__((noreturn)) void collect_finish(const char *status, const char *text);
/* archive.c. Writes a file or a directory below the root to a descriptor, as a tar archive of at most so many bytes. Ends the process with
   its verdict if it cannot. */
void archive_send(const char *from, long largest, int to);
int collect_busy(void);
int collect_poll(struct pollfd *out);
void collect_turn(void);

/* runner.c: the running step. */
void runner_step(struct step *step);
void runner_stdin_end(const char *id, long total);
/* Asks the step to end, if it still runs: its stop signal goes to its first process. What is left after its grace period is killed. */
void runner_stop(const char *id);
/* Sets the size of the step's terminal, if the step still runs and has one. */
void runner_resize(const char *id, long rows, long columns);
int runner_busy(void);
int runner_poll(struct pollfd *out);
/* Moves bytes, reaps children and reports the step's end. `now` is the monotonic clock in ms. */
void runner_turn(long now);
/* Returns the ms until the runner must look at the step again (its deadline, its grace period, its memory), or -1. */
long runner_timeout(long now);

/* control.c: the control port. */
/* Tells the host that init serves. */
void control_begin(void);
void control_turn(void);
int control_wants_write(void);
void control_send(struct message *message);
void control_failed(const char *verb, int error, const char *text);
/* commands.c. Runs one command of the host. */
void control_run(const struct frame *frame);

/* clock.c. */
long monotonic_ms(void);
#endif
