import type { z } from 'zod';

/** Longest argument or variable (`NAME=value`) of a command, bytes: Linux takes 128 KiB with a NUL at the end. */
export const argumentBytesMax = 131_071;
/** Most arguments of a command, and most variables. The channel to a guest has room for as many (`ARGS_MAX` of init). */
export const argumentsMax = 4096;
/**
 * Most bytes of all arguments and variables of a command together: Linux takes 2 MiB, of which 64 KiB stay for the name of the program
 * and for what init adds. Each text takes 9 bytes more than its own: a NUL, and a pointer.
 */
export const commandBytesMax = 2 * 2 ** 20 - 2 ** 16;

/** Most bytes of a script. All scripts of a job are in the memory of its guest while it runs. */
export const scriptBytesMax = 60_000;

/** Returns the script that runs the lines of a step's `commands`. */
export function scriptOf(commands: readonly string[]): string {
  return `#!/bin/sh\n${commands.join('\n')}\n`;
}

/** Says why an executor would not run the script of these `commands`; null if it would. */
export function scriptFault(commands: readonly string[]): string | null {
  const bytes = Buffer.byteLength(scriptOf(commands));
  if (bytes <= scriptBytesMax) return null;
  return `the script of the commands has ${bytes} bytes, and at most ${scriptBytesMax} are possible: put a part of it into a file of the image`;
}

/** Says why Linux could not execute a command with these arguments and variables; null if it can. */
export function commandFault(argv: readonly string[], env: readonly string[]): string | null {
  const lists = [
    { texts: argv, name: 'arguments', nameOf: (index: number) => `argument ${index + 1}` },
    { texts: env, name: 'variables', nameOf: (index: number) => `variable ${index + 1}` },
  ];
  let total = 0;
  for (const { texts, name, nameOf } of lists) {
    if (texts.length > argumentsMax)
      return `there are ${texts.length} ${name}, and at most ${argumentsMax} are possible`;
    for (const [index, text] of texts.entries()) {
      const bytes = Buffer.byteLength(text);
      if (text.includes('\0')) return `${nameOf(index)} holds a NUL`;
      if (bytes > argumentBytesMax)
        return `${nameOf(index)} has ${bytes} bytes, and at most ${argumentBytesMax} are possible`;
      total += bytes + 9;
    }
  }
  if (total <= commandBytesMax) return null;
  return `the arguments and variables take ${total} bytes together, and at most ${commandBytesMax} are possible`;
}

/** A check for a schema of a command, as arguments or as lines of a script: refuses one that could not be executed. */
export function checkCommand(
  command:
    | { readonly argv: readonly string[]; readonly env?: readonly string[] }
    | { readonly commands: readonly string[] },
  context: z.core.$RefinementCtx,
): void {
  const fault =
    'commands' in command ? scriptFault(command.commands) : commandFault(command.argv, command.env ?? []);
  if (fault !== null) context.addIssue(fault);
}
