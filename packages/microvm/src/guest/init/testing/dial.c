/* Init's ports where there is no virtio-serial device. In place of vsock, a port is the socket v_PORT in the working directory. A frame of
   the host is written to stdout as its verb. */
#define _GNU_SOURCE
#include "../init.h"
#include <linux/vm_sockets.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

/* ports.c is compiled with -Dsocket=vsock_socket and -Dconnect=vsock_connect. */
#undef socket
#undef connect
int socket(int family, int type, int protocol);
int connect(int s, const struct sockaddr *address, socklen_t size);

int vsock_socket(int family, int type, int protocol) { return family == AF_VSOCK ? socket(AF_UNIX, type, protocol) : -1; }

int vsock_connect(int s, const struct sockaddr *address, socklen_t size) {
  const struct sockaddr_vm *host = (const struct sockaddr_vm *)address;
  struct sockaddr_un path = {.sun_family = AF_UNIX};
  if (size != sizeof *host || host->svm_cid != VMADDR_CID_HOST) return -1;
  snprintf(path.sun_path, sizeof path.sun_path, "v_%u", host->svm_port);
  return connect(s, (struct sockaddr *)&path, sizeof path);
}

/* Writes the reason to stderr in place of ending the VM. */
void die(const char *format, ...) {
  va_list args;
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  exit(0);
}

void control_run(const struct frame *frame) {
  puts(frame->fields[0].data);
  fflush(stdout);
}

int main(void) {
  ports_open();
  control_begin();
  for (struct pollfd wait;; poll(&wait, 1, -1)) {
    control_turn();
    wait = (struct pollfd){ports[CONTROL], POLLIN, 0};
  }
}
