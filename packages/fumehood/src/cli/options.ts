import {
  accessNameSchema,
  labelsSchema,
  type QueueName,
  queueNameSchema,
  type Scope,
  scopeSchema,
  type Tier,
  tierSchema,
} from '@fumehood/protocol';
import { InvalidArgumentError, Option } from 'commander';

/** Parsers of arguments and options. Each throws `InvalidArgumentError`, which commander prints with the option's name. */

const dayMs = 86_400_000;

/** `--json` of a command that prints one result. */
export function jsonOption(): Option {
  return new Option('--json', 'print one JSON object on stdout');
}

/** `--days` of a command that makes a secret. */
export function daysOption(): Option {
  return new Option('--days <n>', 'expire after this many days; default: never').argParser(integer(1, 3650));
}

/** Returns the time at which a secret of this many days expires, or null if it never does. */
export function expiryAfter(days: number | undefined): string | null {
  return days === undefined ? null : new Date(Date.now() + days * dayMs).toISOString();
}

/** Returns a parser of decimal integers from `least` to `most`. */
export function integer(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most)
      throw new InvalidArgumentError(`It is a whole number from ${least} to ${most}.`);
    return value;
  };
}

export function jobId(text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new InvalidArgumentError('A job has a number, from 1.');
  return Number(text);
}

/** The weight of a tenant's share. */
export function weight(text: string): number {
  const value = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || value < 0.001 || value > 1000)
    throw new InvalidArgumentError('It is a number from 0.001 to 1000.');
  return value;
}

/** The name of a user, a token or a credential. */
export function accessName(text: string): string {
  const parsed = accessNameSchema.safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError(`It ${parsed.error.issues[0]?.message}.`);
  return parsed.data;
}

/** Repeatable `NAME=VALUE`. */
export function variables(text: string, previous: string[]): string[] {
  if (!/^[^=\0]+=[^\0]*$/.test(text)) throw new InvalidArgumentError('It has the form NAME=VALUE.');
  return [...previous, text];
}

/** Repeatable labels of a job or an executor. */
export function labels(text: string, previous: string[]): string[] {
  const parsed = labelsSchema.safeParse([...previous, text]);
  if (!parsed.success)
    throw new InvalidArgumentError('It has the form NAME or NAME=VALUE; at most 32 of them.');
  return parsed.data;
}

/** Repeatable tiers. */
export function tiers(text: string, previous: Tier[]): Tier[] {
  return oneMore(tierSchema, text, previous);
}

/** Repeatable scopes of an access token. */
export function scopes(text: string, previous: Scope[] = []): Scope[] {
  return oneMore(scopeSchema, text, previous);
}

/** Repeatable queues. */
export function queues(text: string, previous: QueueName[] = []): QueueName[] {
  return oneMore(queueNameSchema, text, previous);
}

interface WordSchema<T extends string> {
  readonly options: readonly T[];
  safeParse(text: string): { readonly data?: T | undefined };
}

/** Adds a word of the schema to those that were given before, each once. */
function oneMore<T extends string>(schema: WordSchema<T>, text: string, previous: readonly T[]): T[] {
  const { data } = schema.safeParse(text);
  if (data === undefined) throw new InvalidArgumentError(`It is one of: ${schema.options.join(', ')}.`);
  return [...new Set([...previous, data])];
}
