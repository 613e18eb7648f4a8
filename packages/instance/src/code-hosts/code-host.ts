import type { CodeHostKind } from '@fumehood/protocol';

/** A pull or merge request as its code host has it. */
export interface RemoteChangeset {
  /** Its number in the repository. */
  readonly externalId: string;
  /** Of its page. */
  readonly url: string;
  /** `deleted`: the host has the repository, but not the changeset; all other facts are empty then. */
  readonly state: 'open' | 'draft' | 'closed' | 'merged' | 'deleted';
  /** Without the words that make it a draft. */
  readonly title: string;
  readonly body: string;
  /** The names of branches, without `refs/heads/`. */
  readonly base: string;
  readonly head: string;
  readonly headCommit: string;
  /** What the reviews come to; null: nobody has reviewed it, or was asked to. */
  readonly review: 'approved' | 'changes_requested' | 'pending' | null;
  /** What the checks of its commit come to; null: it has none. */
  readonly checks: 'passed' | 'failed' | 'pending' | null;
}

/** A fork of a repository. */
export interface HostFork {
  /** `OWNER/NAME` on the host. */
  readonly name: string;
  /** For git. */
  readonly url: string;
  readonly username: string;
  readonly password: string;
}

/** A comment that is to be added once. */
export interface HostComment {
  /** Is hidden in the text, by which a repetition knows the comment. */
  readonly id: string;
  /** Markdown. */
  readonly body: string;
  /** No older comment can be this one: seconds of RFC 3339, in UTC. */
  readonly since: string;
}

/**
 * One repository on a code host. Errors of every function: `host_rate_limited` with `details.retryAt` (milliseconds since 1970) and
 * `host_unavailable`, after which the call may be repeated; `host_token_refused`, `host_repository_missing`, `host_refused` and
 * `host_answer_invalid`, after which somebody has to do something first.
 */
export interface CodeHost {
  readonly kind: CodeHostKind;
  /** Whether it knows drafts. */
  readonly drafts: boolean;
  /** Whether the admin has all changesets made in forks. */
  readonly forks: boolean;
  /** Returns the fork of the token's user, which is made if there is none. Errors also: `host_not_ready`. */
  fork(): Promise<HostFork>;
  /** Opens a changeset, or returns the open one of these branches: a repetition opens no second one. Names of branches are without `refs/heads/`. */
  open(request: {
    readonly head: string;
    readonly base: string;
    readonly title: string;
    readonly body: string;
    readonly draft: boolean;
    /** The name of the fork that has the head branch; none: the repository itself has it. */
    readonly fork?: string | null;
  }): Promise<RemoteChangeset>;
  /** Returns the open changeset (`open` or `draft`) of a head branch, in a fork or the repository itself; null if there is none. */
  find(head: string, fork?: string | null): Promise<RemoteChangeset | null>;
  read(externalId: string): Promise<RemoteChangeset>;
  /** Changes these alone: a draft stays one. */
  update(
    externalId: string,
    change: { readonly title: string; readonly body: string; readonly base: string },
  ): Promise<RemoteChangeset>;
  /** Makes a draft one that is to be merged. */
  undraft(externalId: string): Promise<RemoteChangeset>;
  close(externalId: string): Promise<RemoteChangeset>;
  reopen(externalId: string): Promise<RemoteChangeset>;
  /** Merges an open changeset; one that is merged stays as it is. Errors also: `host_not_ready`, after which the call may be repeated. */
  merge(externalId: string, how: { readonly squash: boolean }): Promise<RemoteChangeset>;
  /** Adds a comment, unless the changeset has it already. */
  comment(externalId: string, comment: HostComment): Promise<RemoteChangeset>;
}
