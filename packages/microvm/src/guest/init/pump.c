#define _GNU_SOURCE
#include "init.h"
#include <errno.h>
#include <unistd.h>

void pump_open(struct pump *pump, int from, int to, uint64_t limit) {
  pump->from = from;
  pump->to = to;
  pump->read = 0;
  pump->limit = limit;
  pump->start = pump->end = 0;
}

int pump_wants_read(const struct pump *pump) { return pump->from >= 0 && pump->start == pump->end && pump->read < pump->limit; }
int pump_wants_write(const struct pump *pump) { return pump->start < pump->end; }
int pump_done(const struct pump *pump) { return pump->start == pump->end && (pump->from < 0 || pump->read >= pump->limit); }

void pump_run(struct pump *pump) {
  for (int rounds = 0; rounds < 16; rounds++) { /* bounded, so that a busy stream does not starve the control port */
    if (pump_wants_read(pump)) {
      uint64_t room = pump->limit - pump->read;
      ssize_t n = read(pump->from, pump->buffer, room < sizeof pump->buffer ? (size_t)room : sizeof pump->buffer);
      if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (n <= 0) {
        pump->from = -1; /* the owner of the descriptor closes it */
        return;
      }
      pump->start = 0;
      pump->end = (size_t)n;
      pump->read += (uint64_t)n;
    }
    if (!pump_wants_write(pump)) return;
    ssize_t n = pump->to < 0 ? (ssize_t)(pump->end - pump->start) : write(pump->to, pump->buffer + pump->start, pump->end - pump->start);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n < 0) {
      pump->to = -1;
      continue;
    }
    pump->start += (size_t)n;
  }
}
