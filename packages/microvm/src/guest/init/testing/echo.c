/* Init's control port on descriptor 3, read at most argv[1] bytes at a time. Sends each frame back as init parsed it. */
#define _GNU_SOURCE
#include "../init.h"
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

int ports[PORTS] = {3};
int ports_dial_again(void) { return 0; }
static size_t piece;

/* control.c is compiled with -Dread=read_piece. */
ssize_t read_piece(int fd, void *buffer, size_t size) { return recv(fd, buffer, size < piece ? size : piece, MSG_DONTWAIT); }

/* Writes the reason to stdout in place of ending the VM. */
void die(const char *format, ...) {
  va_list args;
  va_start(args, format);
  vprintf(format, args);
  va_end(args);
  exit(0);
}

void control_run(const struct frame *frame) {
  static struct message echo;
  echo.size = 4, echo.failed = 0; /* like message_begin, but the verb is among the fields */
  for (uint32_t i = 0; i < frame->count; i++) message_bytes(&echo, frame->fields[i].data, frame->fields[i].size);
  control_send(&echo);
}

int main(int argc, char **argv) {
  if (argc != 2 || (piece = strtoul(argv[1], NULL, 10)) == 0) return 2;
  for (;;) {
    struct pollfd wait = {ports[CONTROL], POLLIN, 0};
    poll(&wait, 1, -1);
    control_turn();
  }
}
