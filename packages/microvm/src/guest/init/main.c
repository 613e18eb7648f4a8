#define _GNU_SOURCE
#include "init.h"
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

/* Wakes poll() when a child has ended. */
static int child_pipe[2];
static void on_child(int signal) {
  (void)signal;
  (void)!write(child_pipe[1], "", 1);
}

int main(int argc, char **argv) {
  boot(argc, argv);
  struct sigaction child = {.sa_handler = on_child, .sa_flags = SA_NOCLDSTOP | SA_RESTART};
  struct sigaction ignore = {.sa_handler = SIG_IGN};
  if (pipe2(child_pipe, O_CLOEXEC | O_NONBLOCK)) die("pipe");
  sigaction(SIGCHLD, &child, NULL);
  sigaction(SIGPIPE, &ignore, NULL);
  control_begin();
  for (;;) {
    struct pollfd wait[16];
    int count = 0;
    wait[count++] = (struct pollfd){ports[CONTROL], POLLIN | (control_wants_write() ? POLLOUT : 0), 0};
    wait[count++] = (struct pollfd){child_pipe[0], POLLIN, 0};
    count += collect_poll(wait + count);
    count += runner_poll(wait + count);
    poll(wait, (nfds_t)count, (int)runner_timeout(monotonic_ms()));
    char drop[64];
    while (read(child_pipe[0], drop, sizeof drop) > 0) {
    }
    control_turn();
    collect_turn();
    runner_turn(monotonic_ms());
  }
}
