#define _GNU_SOURCE
/* The control port: reads and writes frames, each direction through one bounded buffer. */
#include "init.h"
#include <errno.h>
#include <string.h>
#include <unistd.h>

static char in[4 + FRAME_MAX], store[FRAME_MAX + FIELDS_MAX];
static size_t in_size;
static char out[4 * (4 + ANSWER_MAX)];
static size_t out_start, out_end;
static struct frame frame;
static int heard; /* whether the host has sent anything */

int control_wants_write(void) { return out_start < out_end; }

/* Ends the VM, unless it is one that was saved before the host had sent anything: its clone dials its own host. */
static void lost(const char *why) {
  if (heard || !ports_dial_again()) die("control port: %s", why);
  out_start = out_end = 0;
  control_begin();
}

static void flush(void) {
  while (out_start < out_end) {
    ssize_t n = write(ports[CONTROL], out + out_start, out_end - out_start);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) return lost(strerror(errno));
    out_start += (size_t)n;
  }
  out_start = out_end = 0;
}

void control_send(struct message *message) {
  if (message->failed) die("a message does not fit into a frame");
  message_end(message);
  if (sizeof out - out_end < message->size) {
    memmove(out, out + out_start, out_end - out_start);
    out_end -= out_start;
    out_start = 0;
  }
  /* The host reads this stream before any other: if 256 KiB pile up here, the host is broken. */
  if (sizeof out - out_end < message->size) die("the host does not read the control port");
  memcpy(out + out_end, message->data, message->size);
  out_end += message->size;
  flush();
}

void control_begin(void) {
  static struct message ready;
  message_begin(&ready, "ready");
  message_text(&ready, "1");
  control_send(&ready);
}

void control_failed(const char *verb, int error, const char *text) {
  static struct message message;
  message_begin(&message, "failed");
  message_text(&message, verb);
  message_number(&message, error);
  message_text(&message, text);
  control_send(&message);
}

void control_turn(void) {
  flush();
  ssize_t n = read(ports[CONTROL], in + in_size, sizeof in - in_size);
  if (n == 0) return lost("the host has closed it");
  if (n < 0 && errno != EAGAIN && errno != EINTR) return lost(strerror(errno));
  if (n > 0) in_size += (size_t)n, heard = 1;
  size_t at = 0;
  for (;;) {
    long size = frame_size(in + at, in_size - at);
    if (size < 0) die("malformed frame");
    if (size == 0) break;
    if (frame_parse(in + at + 4, (size_t)size - 4, &frame, store)) die("malformed fields");
    at += (size_t)size;
    control_run(&frame);
  }
  memmove(in, in + at, in_size - at);
  in_size -= at;
}
