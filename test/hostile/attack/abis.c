/* Makes system calls by every entry of the kernel: 64-bit, x32, 32-bit, and io_uring, which makes them in the kernel. */
#define _GNU_SOURCE
#include "attack.h"
#include <errno.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The 32-bit entry takes 32-bit addresses. This program is not relocated, so its own data have some. */
static struct io_uring_params params;
static unsigned vsock_arguments[] = {AF_VSOCK, SOCK_STREAM, 0};
#define ADDRESS(of) ((long)(void *)(of))

static long call32(long number, long a, long b, long c, long d, long e) {
  long result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
  int value = (int)result;
  if (value < 0) errno = -value;
  return value < 0 ? -1 : value;
}

/* Numbers of <asm/unistd_32.h>. */
static long getpid32(void) { return call32(20, 0, 0, 0, 0, 0); }
static long socket32(void) { return call32(359, AF_VSOCK, SOCK_STREAM, 0, 0, 0); }
static long socketcall32(void) { return call32(102, 1, ADDRESS(vsock_arguments), 0, 0, 0); }
static long io_uring32(void) { return call32(425, 1, ADDRESS(&params), 0, 0, 0); }
static long keyctl32(void) { return call32(288, 0, -3, 1, 0, 0); }
static long add_key32(void) { return call32(286, ADDRESS("user"), ADDRESS("name"), ADDRESS("text"), 4, -2); }

/* Makes the socket by a request to io_uring. */
static long vsock_by_io_uring(void) {
  memset(&params, 0, sizeof params);
  int ring = (int)syscall(SYS_io_uring_setup, 1, &params);
  if (ring < 0) return -1;
  char *queue = mmap(NULL, params.sq_off.array + sizeof(unsigned), PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
  char *done = mmap(NULL, params.cq_off.cqes + 2 * sizeof(struct io_uring_cqe), PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
  struct io_uring_sqe *request = mmap(NULL, sizeof *request, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
  if (queue == MAP_FAILED || done == MAP_FAILED || request == MAP_FAILED) return -1;
  *request = (struct io_uring_sqe){.opcode = 45 /* IORING_OP_SOCKET */, .fd = AF_VSOCK, .off = SOCK_STREAM};
  *(unsigned *)(queue + params.sq_off.array) = 0;
  *(unsigned *)(queue + params.sq_off.tail) = 1;
  if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) != 1) return -1;
  int result = ((struct io_uring_cqe *)(done + params.cq_off.cqes))->res;
  if (result < 0) errno = -result;
  return result < 0 ? -1 : result;
}

void attack_abis(void) {
  report("vsock", socket(AF_VSOCK, SOCK_STREAM, 0));
  report("vsock x32", syscall(0x40000000 | SYS_socket, AF_VSOCK, SOCK_STREAM, 0));
  report_child("vsock io_uring", vsock_by_io_uring);
  report_child("vsock i386", socket32);
  report_child("vsock i386 socketcall", socketcall32);
  report_child("i386 getpid", getpid32);
  report_child("i386 io_uring_setup", io_uring32);
  report_child("i386 keyctl", keyctl32);
  report_child("i386 add_key", add_key32);
  report("unix", socket(AF_UNIX, SOCK_STREAM, 0));
}
