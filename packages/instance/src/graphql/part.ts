import type { CodeHostRecord, RepositoryRecord } from '@fumehood/protocol';
import type { Person } from '../auth/people.ts';
import type { BlobStore } from '../blobs/store.ts';
import type { QueueKinds } from '../queue/kind.ts';
import type { Turns } from '../http/turns.ts';
import type { CodeDeps } from '../codeintel/scope.ts';

/** What the fields need. */
export interface QueryDeps extends CodeDeps {
  readonly blobs: BlobStore;
  readonly kinds: QueueKinds;
  readonly turns: Pick<Turns, 'clone'>;
}

/** What the fields of one request are answered with. */
export interface QueryContext {
  readonly deps: QueryDeps;
  readonly person: Person;
  /** Reads the record of a repository, once; null: the instance does not mirror it. */
  repository(name: string): Promise<RepositoryRecord | null>;
  /** Returns the code hosts, which are read once. */
  codeHosts(): Promise<readonly CodeHostRecord[]>;
  /** Counts characters of steps and their output. Errors: `invalid_request` once the request gets too many. */
  readonly takeOutput: (characters: number) => void;
  /** Does something when what the request has asked for before is done, so that one request takes one connection to the database. */
  readonly inTurn: <T>(work: () => Promise<T>) => Promise<T>;
}

/** A field that is answered by a function: of its arguments and the request. */
export type Field<A = unknown> = (args: A, context: QueryContext) => unknown;

/**
 * Part of the schema. A subject has one in a file of its own, with its types, and the fields of the root by `extend type Query` and `extend type Mutation`. A
 * mutation needs the scope `code:write`.
 */
export interface SchemaPart {
  readonly types: string;
  readonly root: Readonly<Record<string, Field<never>>>;
}

/** What a mutation answers that has nothing to say. */
export const emptyResponse = { alwaysNil: null };
