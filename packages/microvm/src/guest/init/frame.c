#include "frame.h"
#include <stdio.h>
#include <string.h>

static uint32_t read_u32(const char *in) {
  const unsigned char *b = (const unsigned char *)in;
  return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static void write_u32(char *out, uint32_t value) {
  for (int i = 0; i < 4; i++) out[i] = (char)(value >> (8 * i) & 0xff);
}

long frame_size(const char *in, size_t size) {
  if (size < 4) return 0;
  uint32_t body = read_u32(in);
  if (body < 1 || body > FRAME_MAX) return -1;
  return size >= 4 + (size_t)body ? 4 + (long)body : 0;
}

int frame_parse(const char *body, size_t size, struct frame *out, char *store) {
  size_t at = 0;
  out->count = 0;
  while (at < size) {
    if (size - at < 4 || out->count == FIELDS_MAX) return -1;
    uint32_t length = read_u32(body + at);
    at += 4;
    if (length > size - at) return -1;
    memcpy(store, body + at, length);
    store[length] = 0;
    out->fields[out->count++] = (struct field){store, length};
    store += length + 1;
    at += length;
  }
  return out->count > 0 ? 0 : -1;
}

int field_number(const struct field *field, long *out) {
  if (field->size < 1 || field->size > 18) return -1;
  long value = 0;
  for (uint32_t i = 0; i < field->size; i++) {
    if (field->data[i] < '0' || field->data[i] > '9') return -1;
    value = value * 10 + (field->data[i] - '0');
  }
  *out = value;
  return 0;
}

int field_mode(const struct field *field, unsigned *out) {
  if (field->size < 1 || field->size > 4) return -1;
  unsigned value = 0;
  for (uint32_t i = 0; i < field->size; i++) {
    if (field->data[i] < '0' || field->data[i] > '7') return -1;
    value = value * 8 + (unsigned)(field->data[i] - '0');
  }
  *out = value;
  return 0;
}

const char *field_string(const struct field *field, size_t max) {
  if (field->size > max || memchr(field->data, 0, field->size)) return NULL;
  return field->data;
}

void message_begin(struct message *message, const char *verb) {
  message->size = 4;
  message->failed = 0;
  message_text(message, verb);
}

void message_bytes(struct message *message, const void *data, size_t size) {
  if (message->failed || size > sizeof message->data - message->size || sizeof message->data - message->size - size < 4) {
    message->failed = 1;
    return;
  }
  write_u32(message->data + message->size, (uint32_t)size);
  memcpy(message->data + message->size + 4, data, size);
  message->size += 4 + size;
}

void message_text(struct message *message, const char *text) { message_bytes(message, text, strlen(text)); }

void message_number(struct message *message, long number) {
  char text[24];
  snprintf(text, sizeof text, "%ld", number);
  message_text(message, text);
}

void message_end(struct message *message) { write_u32(message->data, (uint32_t)(message->size - 4)); }
