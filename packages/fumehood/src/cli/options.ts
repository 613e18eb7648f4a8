import { existsSync } from 'node:fs';
import {
  accessNameSchema,
  type EgressPolicy,
  labelsSchema,
  type IndexLanguage,
  indexLanguageSchema,
  parseEgressPolicy,
  type QueueName,
  queueNameSchema,
  brokerNameSchema,
  registryHostSchema,
  repositoryUrlSchema,
  revisionSchema,
  type Scope,
  scopeSchema,
  secretNameSchema,
  storedRepositorySchema,
  type Tier,
  tierSchema,
} from '@fumehood/protocol';
import { InvalidArgumentError, Option } from 'commander';
import { ZodError, type ZodType } from 'zod';

// Parsers throw `InvalidArgumentError`; commander prints its message after the name of the option or argument.

const dayMs = 86_400_000;

/** Makes the option `--json` of a command that prints one result. */
export function jsonOption(): Option {
  return new Option('--json', 'print one JSON object on stdout');
}

/** Makes the option `--days` of a command that creates a secret. */
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
      throw new InvalidArgumentError(`Give a whole number from ${least} to ${most}.`);
    return value;
  };
}

/** Parses the number of a job. */
export function jobId(text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new InvalidArgumentError('Give the number of a job, from 1.');
  return Number(text);
}

/** Parses the weight of a tenant's share. */
export function weight(text: string): number {
  const value = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || value < 0.001 || value > 1000)
    throw new InvalidArgumentError('Give a number from 0.001 to 1000.');
  return value;
}

/** Parses the name of a user, a token or a credential. */
export function accessName(text: string): string {
  const parsed = accessNameSchema.safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError(`It ${parsed.error.issues[0]?.message}.`);
  return parsed.data;
}

/** Parses the name of a secret. */
export function secretName(text: string): string {
  const parsed = secretNameSchema.safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError(`It ${parsed.error.issues[0]?.message}.`);
  return parsed.data;
}

/** Adds the name of a secret to those of the options before, each once. */
export function secretNames(text: string, previous: string[] = []): string[] {
  return [...new Set([...previous, secretName(text)])];
}

/** Returns a parser of what a schema takes. */
export function parsed<T>(schema: ZodType<T>): (text: string) => T {
  return (text) => {
    const result = schema.safeParse(text);
    if (!result.success) throw new InvalidArgumentError(`It ${result.error.issues[0]?.message}.`);
    return result.data;
  };
}

/** Parses the name of an entry of the broker. */
export const brokerName = parsed(brokerNameSchema);

/** Adds the name of an entry of the broker to those of the options before, each once. */
export function brokerNames(text: string, previous: string[] = []): string[] {
  return [...new Set([...previous, brokerName(text)])];
}

/** Parses the host of a registry. */
export function registryHost(text: string): string {
  const parsed = registryHostSchema.safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError(`It ${parsed.error.issues[0]?.message}.`);
  return parsed.data;
}

/** Parses the name of a repository of the instance. */
export function storedRepository(text: string): string {
  const parsed = storedRepositorySchema.safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError(`It ${parsed.error.issues[0]?.message}.`);
  return parsed.data;
}

/** Parses a branch, a tag or a commit. */
export function revision(text: string): string {
  const parsed = revisionSchema.safeParse(text);
  if (!parsed.success) throw new InvalidArgumentError(`It ${parsed.error.issues[0]?.message}.`);
  return parsed.data;
}

/** Parses a place in a file, `PATH:LINE:COLUMN`, which counts from 1. Returns it counted from 0. */
export function codePlace(text: string): { path: string; line: number; character: number } {
  const [, path = '', line, column] = /^(.+):([1-9]\d{0,8}):([1-9]\d{0,8})$/s.exec(text) ?? [];
  if (path === '') throw new InvalidArgumentError('Give it as PATH:LINE:COLUMN, counted from 1.');
  return { path, line: Number(line) - 1, character: Number(column) - 1 };
}

/** Parses a language that has an indexer. */
export function indexLanguage(text: string): IndexLanguage {
  return addWord(indexLanguageSchema, text, [])[0] as IndexLanguage;
}

/** Parses where a repository comes from: a URL, or a directory of this machine. */
export function repositorySource(text: string): { readonly url: string } | { readonly path: string } {
  if (/^\.{0,2}\/|^\.{1,2}$/.test(text) || (!/^[a-z]+:/i.test(text) && existsSync(text)))
    return { path: text };
  const parsed = repositoryUrlSchema.safeParse(text);
  if (!parsed.success)
    throw new InvalidArgumentError(
      `There is no such directory, and as a URL it ${parsed.error.issues[0]?.message}.`,
    );
  return { url: parsed.data };
}

/** Adds an environment variable, as `NAME=VALUE`, to those of the options before. */
export function variables(text: string, previous: string[] = []): string[] {
  if (!/^[^=\0]+=[^\0]*$/.test(text)) throw new InvalidArgumentError('Give it as NAME=VALUE.');
  return [...previous, text];
}

/** Adds a label of a job or an executor to those of the options before. */
export function labels(text: string, previous: string[] = []): string[] {
  const parsed = labelsSchema.safeParse([...previous, text]);
  if (!parsed.success) throw new InvalidArgumentError('Give it as NAME or NAME=VALUE, at most 32 times.');
  return parsed.data;
}

/** Parses what a command may reach over the network. */
export function egressPolicy(text: string): EgressPolicy {
  try {
    return parseEgressPolicy(text);
  } catch (error) {
    const why = error instanceof ZodError ? ` (${error.issues[0]?.message})` : '';
    throw new InvalidArgumentError(
      `Give none, public, learn, or allow:HOST[:PORT] with more hosts after commas${why}.`,
    );
  }
}

/** Adds a tier to those of the options before. */
export function tiers(text: string, previous: Tier[] = []): Tier[] {
  return addWord(tierSchema, text, previous);
}

/** Adds a scope of an access token to those of the options before. */
export function scopes(text: string, previous: Scope[] = []): Scope[] {
  return addWord(scopeSchema, text, previous);
}

/** Adds a queue to those of the options before. */
export function queues(text: string, previous: QueueName[] = []): QueueName[] {
  return addWord(queueNameSchema, text, previous);
}

interface WordSchema<T extends string> {
  readonly options: readonly T[];
  safeParse(text: string): { readonly data?: T | undefined };
}

/** Adds a word of the schema to those of the options before, each once. */
function addWord<T extends string>(schema: WordSchema<T>, text: string, previous: readonly T[]): T[] {
  const { data } = schema.safeParse(text);
  if (data === undefined) throw new InvalidArgumentError(`Give one of: ${schema.options.join(', ')}.`);
  return [...new Set([...previous, data])];
}

/** Parses a version of Firecracker. Whether it may run VMs is decided elsewhere. */
export function firecrackerVersion(text: string): string {
  const [, version] = /^v?(\d{1,4}\.\d{1,4}\.\d{1,4})$/.exec(text) ?? [];
  if (version === undefined) throw new InvalidArgumentError('Give the version of a release, such as 1.17.0.');
  return version;
}

/** Parses a SHA-256. */
export function sha256(text: string): string {
  if (!/^[0-9a-f]{64}$/i.test(text)) throw new InvalidArgumentError('Give 64 hexadecimal digits.');
  return text.toLowerCase();
}
