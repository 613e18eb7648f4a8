/* Reads triples of user, passwd and group from stdin, each ended by a NUL, and writes one line with the identity for each. */
#include "../user.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char all[1 << 22];

/* Copies the next text to the heap with its exact size, so that the sanitizer detects a read beyond its end. */
static char *next_text(char **at, char *end) {
  if (*at >= end) return NULL;
  char *copy = strdup(*at);
  *at += strlen(*at) + 1;
  return copy;
}

int main(void) {
  static struct identity who;
  size_t size = fread(all, 1, sizeof all - 1, stdin);
  char *at = all, *end = all + size, *user, *passwd, *group;
  while ((user = next_text(&at, end)) && (passwd = next_text(&at, end)) && (group = next_text(&at, end))) {
    const char *error = identity_of(user, passwd, group, &who);
    if (error) printf("%s\n", error);
    else {
      printf("%u:%u ", who.uid, who.gid);
      for (int i = 0; i < who.group_count; i++) printf("%s%u", i ? "," : "", who.groups[i]);
      printf(" %s\n", who.home);
    }
    free(user), free(passwd), free(group);
  }
  return 0;
}
