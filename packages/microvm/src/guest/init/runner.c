/* Runs one step at a time: makes its cgroup and pipes, starts it, limits it, and reports its end. */
#define _GNU_SOURCE
#include "init.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WATCH_MS 1000    /* interval of the checks of a step's memory pressure */
#define STARVED_MS 10000 /* a step that is stalled on memory for so long is killed */

static struct {
  int running, exited, deadline_hit, stopping, killed, starved, status, report;
  pid_t pid;
  char id[ID_MAX + 1], cgroup[128];
  long started, deadline, stop_signal, grace, kill_at;
  long checked, stall_since, stalled; /* time of the last check; start of the current stall; the stall counter at that start */
  int stdin_to, stdout_from, stderr_from;
  int terminal, terminal_slave; /* the socket on which the ends of its terminal come; the end that the step has */
  long rows, columns;           /* the size of its terminal; 0: it has none */
} step = {.stdin_to = -1, .stdout_from = -1, .stderr_from = -1, .report = -1, .terminal = -1, .terminal_slave = -1};
static struct pump input = {.from = -1, .to = -1}, output = {.from = -1, .to = -1}, errors = {.from = -1, .to = -1};
static uint64_t input_total = UINT64_MAX; /* bytes of stdin that the host announced; UINT64_MAX until it does */
static struct message message;

/* Returns whether bytes of the last step's stdin may still arrive: they must not reach the next step. */
static int input_open(void) { return input.from >= 0 && !(input_total != UINT64_MAX && input.read >= input_total); }
int runner_busy(void) { return step.running; }

static int cgroup_write(const char *file, const char *text) {
  char path[192];
  snprintf(path, sizeof path, "%s/%s", step.cgroup, file);
  int out = open(path, O_WRONLY | O_CLOEXEC);
  ssize_t n = out < 0 ? -1 : write(out, text, strlen(text));
  if (out >= 0) close(out);
  return n < 0 ? -1 : 0;
}

/* Returns the number that follows `key` in a cgroup file, in the part that starts with `line`; 0 when there is none. */
static long cgroup_read(const char *file, const char *line, const char *key) {
  char path[192], text[512];
  snprintf(path, sizeof path, "%s/%s", step.cgroup, file);
  int in = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = in < 0 ? -1 : read(in, text, sizeof text - 1);
  if (in >= 0) close(in);
  if (n <= 0) return 0;
  text[n] = 0;
  const char *at = strstr(text, line);
  at = at ? strstr(at, key) : NULL;
  return at ? strtol(at + strlen(key), NULL, 10) : 0;
}

/* Writes a limit of the step's cgroup; 0 means no limit. */
static void set_limit(const char *file, long value) {
  char text[24];
  if (value <= 0) return;
  snprintf(text, sizeof text, "%ld", value);
  if (cgroup_write(file, text)) die("%s: %s", file, strerror(errno));
}

static void report_end(long code, long signal_number, const char *reason, const char *text) {
  message_begin(&message, "exited");
  message_text(&message, step.id);
  message_number(&message, code);
  message_number(&message, signal_number);
  message_number(&message, (long)output.read);
  message_number(&message, (long)errors.read);
  message_text(&message, reason);
  message_text(&message, text);
  control_send(&message);
}

/* The streams of a step: its own ends, and those of init. */
struct streams {
  int child[3], init[3];
};

/* Opens a pipe for each stream. A step with a terminal has one socket in their place, and nothing else is open yet. */
static void streams_open(struct streams *streams, int terminal) {
  int pair[2];
  for (int i = 0; i <= 2; i++) streams->init[i] = -1;
  if (terminal) {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) die("socket: %s", strerror(errno));
    streams->init[0] = pair[0];
    for (int i = 0; i <= 2; i++)
      if ((streams->child[i] = i ? fcntl(pair[1], F_DUPFD_CLOEXEC, 0) : pair[1]) < 0) die("socket: %s", strerror(errno));
    return;
  }
  for (int i = 0; i <= 2; i++) {
    if (pipe2(pair, O_CLOEXEC)) die("pipes: %s", strerror(errno));
    streams->child[i] = pair[i > 0], streams->init[i] = pair[i == 0];
  }
}

void runner_step(struct step *request) {
  if (input_open()) return control_failed("step", EBUSY, "the stdin of the last step has not ended");
  struct streams streams;
  int report[2];
  streams_open(&streams, request->rows > 0);
  if (pipe2(report, O_CLOEXEC)) die("pipes: %s", strerror(errno));
  snprintf(step.id, sizeof step.id, "%s", request->id);
  snprintf(step.cgroup, sizeof step.cgroup, "/sys/fs/cgroup/step");
  if (mkdir(step.cgroup, 0755)) die("cgroup: %s", strerror(errno));
  set_limit("memory.max", request->memory);
  set_limit("pids.max", request->pids);
  cgroup_write("memory.oom.group", "1");
  int cgroup = open(step.cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  struct clone_args args = {.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_INTO_CGROUP,
                            .exit_signal = SIGCHLD,
                            .cgroup = (uint64_t)cgroup};
  step.started = monotonic_ms();
  pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof args);
  if (pid < 0) die("clone: %s", strerror(errno));
  if (pid == 0) {
    for (int i = 0; i <= 2; i++)
      if (dup2(streams.child[i], i) < 0) _exit(126);
    child_exec(request, report[1]);
  }
  close(cgroup), close(report[1]);
  for (int i = 0; i <= 2; i++) {
    close(streams.child[i]);
    if (streams.init[i] >= 0) fcntl(streams.init[i], F_SETFL, O_NONBLOCK);
  }
  step.pid = pid, step.running = 1, step.exited = 0, step.deadline_hit = 0, step.starved = 0, step.report = report[0];
  step.stopping = step.killed = 0, step.stop_signal = request->stop_signal, step.grace = request->grace;
  step.checked = step.stall_since = step.started, step.stalled = 0;
  step.deadline = request->deadline > 0 ? step.started + request->deadline : 0;
  step.rows = request->rows, step.columns = request->columns;
  step.terminal = step.rows ? streams.init[0] : -1;
  step.stdin_to = step.rows ? -1 : streams.init[0], step.stdout_from = streams.init[1], step.stderr_from = streams.init[2];
  input_total = UINT64_MAX;
  /* The stdin of a step with a terminal waits until there is one. */
  pump_open(&input, step.rows ? -1 : ports[STDIN], step.stdin_to, UINT64_MAX);
  pump_open(&output, step.stdout_from, ports[STDOUT], UINT64_MAX);
  pump_open(&errors, step.stderr_from, ports[STDERR], UINT64_MAX);
  message_begin(&message, "started");
  message_text(&message, step.id);
  control_send(&message);
}

/*
 * Begins the streams of a step's terminal once its ends have come. The end of the step stays open here, too: the step may close its own and
 * open the terminal again. If they never come, the step has failed, and its stdin is discarded.
 */
static void open_terminal(void) {
  int ends[2] = {-1, -1}, taken = terminal_take(step.terminal, ends);
  if (taken == 0 && !step.exited) return;
  close(step.terminal);
  step.terminal = -1;
  if (taken == 1) {
    fcntl(ends[0], F_SETFL, O_RDWR | O_NONBLOCK);
    step.stdout_from = ends[0], step.terminal_slave = ends[1];
    step.stdin_to = fcntl(ends[0], F_DUPFD_CLOEXEC, 0);
    terminal_resize(ends[0], step.rows, step.columns);
    pump_open(&output, ends[0], ports[STDOUT], UINT64_MAX);
  }
  pump_open(&input, ports[STDIN], step.stdin_to, input_total);
}

void runner_resize(const char *id, long rows, long columns) {
  if (!step.running || strcmp(id, step.id) || !step.rows) return; /* the step ended while the command was on its way */
  step.rows = rows, step.columns = columns;
  if (step.stdout_from >= 0) terminal_resize(step.stdout_from, rows, columns);
}

void runner_stdin_end(const char *id, long total) {
  if (strcmp(id, step.id) || input_total != UINT64_MAX || (uint64_t)total < input.read) return control_failed("stdin-end", EINVAL, "this stdin is not open");
  input_total = (uint64_t)total;
  input.limit = input_total;
}

static void kill_step(void) {
  step.killed = 1;
  cgroup_write("cgroup.kill", "1");
}

/*
 * Asks the step to end as `docker stop` does. The step's first process is the init of its PID namespace: without a handler for the
 * signal it ignores it, whatever the signal's default action is.
 */
static void begin_stop(long now) {
  if (step.stopping || step.exited) return;
  step.stopping = 1;
  step.kill_at = now + step.grace;
  kill(step.pid, (int)step.stop_signal);
}

void runner_stop(const char *id) {
  if (step.running && !strcmp(id, step.id)) begin_stop(monotonic_ms()); /* otherwise the step ended while the command was on its way */
}

/* Kills every process that the step left. */
static void clear_cgroup(void) {
  cgroup_write("cgroup.kill", "1");
  for (int tries = 0; tries < 2000 && cgroup_read("cgroup.events", "", "populated "); tries++) {
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
    nanosleep(&(struct timespec){0, 1000000}, NULL);
  }
}

static void finish(void) {
  char text[512];
  ssize_t n = read(step.report, text, sizeof text - 1);
  text[n > 0 ? n : 0] = 0;
  close(step.report);
  long oom = cgroup_read("memory.events", "", "oom_kill ");
  if (rmdir(step.cgroup)) die("remove the cgroup of the step: %s", strerror(errno));
  int signaled = WIFSIGNALED(step.status);
  long code = signaled ? -1 : WEXITSTATUS(step.status), number = signaled ? WTERMSIG(step.status) : 0;
  if (n > 0) report_end(code, 0, "start", text);
  else if (step.deadline_hit) report_end(code, number, "deadline", "");
  else if (step.starved || (oom > 0 && signaled)) report_end(code, number, "memory", "");
  else report_end(code, number, signaled ? "signal" : "exit", "");
  if (step.stdout_from >= 0) close(step.stdout_from);
  if (step.stderr_from >= 0) close(step.stderr_from);
  step.stdout_from = step.stderr_from = -1;
  step.running = 0;
}

/*
 * Kills a step that thrashes. Close to its memory limit a step may make no progress without being killed by the kernel: every page
 * of its program that it loads evicts one that it needs next, and the kernel counts each load as progress. Pressure stall
 * information (Documentation/accounting/psi.rst) reveals this: the total time in which none of the step's processes could run
 * because all of them waited for memory.
 */
static void watch_memory(long now) {
  if (now - step.checked < WATCH_MS) return;
  step.checked = now;
  long stalled = cgroup_read("memory.pressure", "full ", "total=") / 1000;
  if (stalled - step.stalled < (now - step.stall_since) * 9 / 10) step.stalled = stalled, step.stall_since = now;
  if (now - step.stall_since < STARVED_MS) return;
  step.starved = 1;
  kill_step();
}

static void close_stdin(void) {
  if (step.stdin_to < 0) return;
  close(step.stdin_to);
  step.stdin_to = -1;
  input.to = -1; /* the pump discards what still arrives */
}

/* The end of what is typed on a terminal is a character. */
static void end_terminal_stdin(void) {
  if (step.terminal_slave >= 0 && input.to >= 0) (void)!write(step.stdin_to, "\4", 1);
}

void runner_turn(long now) {
  if (step.terminal >= 0) open_terminal();
  pump_run(&input);
  if (step.stdin_to >= 0 && (input.to < 0 || (pump_done(&input) && input_total != UINT64_MAX))) {
    end_terminal_stdin();
    close_stdin();
  }
  if (!step.running) return;
  pump_run(&output);
  pump_run(&errors);
  if (step.deadline && now >= step.deadline && !step.exited && !step.deadline_hit) {
    step.deadline_hit = 1;
    begin_stop(now);
  }
  if (step.stopping && now >= step.kill_at && !step.exited && !step.killed) kill_step();
  if (!step.exited && !step.killed) watch_memory(now);
  if (!step.exited && waitpid(step.pid, &step.status, WNOHANG) == step.pid) {
    step.exited = 1;
    clear_cgroup();
    if (step.terminal >= 0) open_terminal();
    close_stdin();
    if (step.terminal_slave >= 0) close(step.terminal_slave); /* what is still in the terminal can be read until its end */
    step.terminal_slave = -1;
  }
  if (step.exited && pump_done(&output) && pump_done(&errors)) finish();
}

long runner_timeout(long now) {
  if (!step.running || step.exited || step.killed) return -1;
  long next = step.checked + WATCH_MS;
  if (step.deadline && !step.deadline_hit && step.deadline < next) next = step.deadline;
  if (step.stopping && step.kill_at < next) next = step.kill_at;
  return next > now ? next - now : 0;
}

static int wait_for(const struct pump *pump, struct pollfd *out) {
  if (pump_wants_write(pump) && pump->to >= 0) *out = (struct pollfd){pump->to, POLLOUT, 0};
  else if (pump_wants_read(pump)) *out = (struct pollfd){pump->from, POLLIN, 0};
  else return 0;
  return 1;
}

int runner_poll(struct pollfd *out) {
  int count = wait_for(&input, out);
  if (!step.running) return count;
  if (step.terminal >= 0) out[count++] = (struct pollfd){step.terminal, POLLIN, 0};
  count += wait_for(&output, out + count);
  return count + wait_for(&errors, out + count);
}
