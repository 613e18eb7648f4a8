/* The terminal of a step: a pair of ends in the devpts of the step alone. Init keeps the master, and the step has the other end. */
#define _GNU_SOURCE
#include "init.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

/* A control message with two descriptors. */
union ends_message {
  char buffer[CMSG_SPACE(2 * sizeof(int))];
  struct cmsghdr align;
};

static int send_ends(int to, const int ends[2]) {
  union ends_message control = {.buffer = {0}};
  struct iovec byte = {.iov_base = "t", .iov_len = 1};
  struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = control.buffer, .msg_controllen = sizeof control.buffer};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS, header->cmsg_len = CMSG_LEN(2 * sizeof(int));
  memcpy(CMSG_DATA(header), ends, 2 * sizeof(int));
  return sendmsg(to, &message, 0) == 1 ? 0 : -1;
}

int terminal_open(const struct step *step) {
  int unlocked = 0, ends[2] = {-1, -1};
  ends[0] = walk_open("/dev/pts/ptmx", O_RDWR | O_NOCTTY, RESOLVE_NO_SYMLINKS);
  if (ends[0] < 0 || ioctl(ends[0], TIOCSPTLCK, &unlocked)) return -1;
  ends[1] = ioctl(ends[0], TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (ends[1] < 0) return -1;
  terminal_resize(ends[0], step->rows, step->columns);
  if (send_ends(STDIN_FILENO, ends)) return -1;
  for (int stream = 0; stream <= 2; stream++)
    if (dup2(ends[1], stream) < 0) return -1;
  close(ends[0]), close(ends[1]);
  return ioctl(STDIN_FILENO, TIOCSCTTY, 0);
}

int terminal_take(int from, int ends[2]) {
  union ends_message control;
  char drop;
  struct iovec byte = {.iov_base = &drop, .iov_len = 1};
  struct msghdr message = {.msg_iov = &byte, .msg_iovlen = 1, .msg_control = control.buffer, .msg_controllen = sizeof control.buffer};
  ssize_t n = recvmsg(from, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
  struct cmsghdr *header = n == 1 ? CMSG_FIRSTHDR(&message) : NULL;
  if (!header || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(2 * sizeof(int))) return -1;
  memcpy(ends, CMSG_DATA(header), 2 * sizeof(int));
  return 1;
}

void terminal_resize(int master, long rows, long columns) {
  struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
  if (rows < 1 || rows > TERMINAL_MAX || columns < 1 || columns > TERMINAL_MAX) return;
  (void)!ioctl(master, TIOCSWINSZ, &size);
}
