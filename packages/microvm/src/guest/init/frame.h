/* Frames of the control stream (../../channel/README.md). This file does no I/O, so that tests can fuzz it by itself. */
#ifndef FRAME_H
#define FRAME_H
#include <stddef.h>
#include <stdint.h>

/* Limits of a frame; the host has the same ones (../../channel/limits.ts). */
#define FRAME_MAX 2621440 /* bytes of the body */
#define FIELDS_MAX 17408 /* fields, including the verb */
#ifndef ANSWER_MAX
#define ANSWER_MAX 65536 /* bytes of the body of a frame to the host */
#endif

struct field {
  const char *data; /* followed by a NUL that is not part of the field */
  uint32_t size;
};

struct frame {
  struct field fields[FIELDS_MAX];
  uint32_t count;
};

/* Returns the bytes of the frame that starts at `in` (length and body), 0 while it is incomplete, or -1 if it is malformed. */
long frame_size(const char *in, size_t size);
/* Splits a body into fields and copies them into `store` (at least FRAME_MAX + FIELDS_MAX bytes), each ended by a NUL.
   Returns 0, or -1 when the fields do not fill the body exactly, or when there are too many fields or none. */
int frame_parse(const char *body, size_t size, struct frame *out, char *store);
/* Parses a decimal number of at most 18 digits. Returns 0, or -1 for anything else. */
int field_number(const struct field *field, long *out);
/* Parses an octal mode of at most 4 digits. Returns 0, or -1 for anything else. */
int field_mode(const struct field *field, unsigned *out);
/* Returns the field as a string, or NULL when it holds a NUL or is longer than `max`. */
const char *field_string(const struct field *field, size_t max);

/* A frame under construction. `failed` is set when a field does not fit. */
struct message {
  char data[4 + ANSWER_MAX];
  size_t size;
  int failed;
};
void message_begin(struct message *message, const char *verb);
void message_bytes(struct message *message, const void *data, size_t size);
void message_text(struct message *message, const char *text);
void message_number(struct message *message, long number);
/* Writes the length of the frame in front of its body. */
void message_end(struct message *message);
#endif
