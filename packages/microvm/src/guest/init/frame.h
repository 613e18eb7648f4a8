/* Frames of the control stream: see ../../channel/README.md. No I/O here, so that it can be fuzzed by itself. */
#ifndef FRAME_H
#define FRAME_H
#include <stddef.h>
#include <stdint.h>

#define FRAME_MAX 65536 /* largest body of a frame, bytes */
#define FIELDS_MAX 4096 /* most fields in a frame */

struct field {
  const char *data; /* followed by a NUL that is not part of it */
  uint32_t size;
};

struct frame {
  struct field fields[FIELDS_MAX];
  uint32_t count;
};

/* Bytes of the frame that starts at `in` (length and body), 0 if `size` bytes do not tell yet, -1 if it is malformed. */
long frame_size(const char *in, size_t size);
/* Splits a body into fields; copies them into `store` (at least FRAME_MAX + FIELDS_MAX bytes), each ended by a NUL.
   Returns 0, or -1 when the fields do not come out even or there are too many or none. */
int frame_parse(const char *body, size_t size, struct frame *out, char *store);
/* A decimal number of at most 18 digits, nothing else around it: 0, or -1. */
int field_number(const struct field *field, long *out);
/* An octal mode of at most 4 digits: 0, or -1. */
int field_mode(const struct field *field, unsigned *out);
/* The field as a string: the same bytes, or NULL when it holds a NUL or is longer than `max`. */
const char *field_string(const struct field *field, size_t max);

/* A frame under construction. `failed` is set when it does not fit. */
struct message {
  char data[4 + FRAME_MAX];
  size_t size;
  int failed;
};
void message_begin(struct message *message, const char *verb);
void message_bytes(struct message *message, const void *data, size_t size);
void message_text(struct message *message, const char *text);
void message_number(struct message *message, long number);
/* Writes the length in front. */
void message_end(struct message *message);
#endif
