/*
 * Attacks init, its channel, the VM's disks and the step's limits from a step. Each attempt prints one line: its name, a tab, and `done`
 * or why it failed. The program is linked statically and runs as root in the step.
 */
#ifndef ATTACK_H
#define ATTACK_H
#include <stddef.h>

/* Prints the result of an attempt: `done`, or the error in errno for a negative result. */
void report(const char *name, long result);
/* Prints a line of `name` and a formatted text. */
__attribute__((format(printf, 2, 3))) void say(const char *name, const char *format, ...);
/* Runs an attempt in a child and reports its result, or the signal that killed the child. */
void report_child(const char *name, long (*attempt)(void));

void attack_devices(void);
void attack_abis(void);
void attack_processes(void);
void attack_privileges(void);
void attack_files(void);
/* Tries to reach a VM's disk or a limit from the working directory. */
void attack_from_here(void);
void attack_user_namespace(void);
/* Forks until that fails, and prints how many children there were. */
void attack_pids(void);
/* Uses this much memory. */
void attack_memory(int mebibytes);
/* Keeps this many processes busy until the step is killed. */
void attack_cpu(int count);
#endif
