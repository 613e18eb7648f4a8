#define _GNU_SOURCE
/* Opens the ports of the channel. A VMM has either a virtio-serial port for each of them, or a vsock device, over which init dials the
   host. Such connections do not outlive the saving of a VM: a clone dials again. */
#include "init.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vm_sockets.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FIRST_VSOCK_PORT 1024 /* of the host: that of the control port; the others follow in their order */
#define TRIES_MAX 1000
#define TRY_EVERY_MS 5

int ports[PORTS];
static int dialled; /* whether the ports are connections over vsock */
static const char *const port_names[PORTS] = {"control", "stdin", "stdout", "stderr", "bulk"};

static void wait_ms(long ms) { nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL); }

/* Opens the virtio port of this name. Returns a descriptor, or -1 while there is none. */
static int open_serial(const char *port) {
  DIR *all = opendir("/sys/class/virtio-ports");
  struct dirent *entry;
  int found = -1;
  while (all && found < 0 && (entry = readdir(all))) {
    char path[320], name[64] = "";
    snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", entry->d_name);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) continue;
    ssize_t n = read(file, name, sizeof name - 1);
    close(file);
    if (n > 0) name[strcspn(name, "\n")] = 0;
    snprintf(path, sizeof path, "/dev/%s", entry->d_name);
    if (!strcmp(name, port)) found = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  }
  if (all) closedir(all);
  return found;
}

/* Dials the host for this port. Returns a descriptor, or -1 when nobody listens there or the VM has no vsock device. */
static int dial(int port) {
  struct sockaddr_vm host = {.svm_family = AF_VSOCK, .svm_cid = VMADDR_CID_HOST, .svm_port = FIRST_VSOCK_PORT + (unsigned)port};
  int s = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (s < 0) return -1;
  if (!connect(s, (struct sockaddr *)&host, sizeof host) && !fcntl(s, F_SETFL, O_NONBLOCK)) return s;
  close(s);
  return -1;
}

void ports_open(void) {
  for (int i = 0; i < PORTS; i++) {
    /* The devices appear a moment after their modules were loaded. */
    for (int tries = 0;; tries++) {
      if (!dialled && (ports[i] = open_serial(port_names[i])) >= 0) break;
      if ((i == 0 || dialled) && (ports[i] = dial(i)) >= 0) {
        dialled = 1;
        break;
      }
      if (tries == TRIES_MAX) die("there is no port %s", port_names[i]);
      wait_ms(TRY_EVERY_MS);
    }
  }
  /* POLLHUP means that the host has not opened its end yet. */
  struct pollfd control = {ports[CONTROL], POLLOUT, 0};
  while (!dialled && poll(&control, 1, 5) >= 0 && (control.revents & POLLHUP)) wait_ms(1);
}

int ports_dial_again(void) {
  if (!dialled) return 0;
  for (int i = 0; i < PORTS; i++) close(ports[i]);
  ports_open();
  return 1;
}
