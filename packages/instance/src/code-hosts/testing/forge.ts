import type { CodeHost } from '../code-host.ts';

/** Makes happen on a code host what others do there. */
export interface HostControl {
  readonly host: CodeHost;
  /** Texts of comments, oldest first. */
  readonly comments: (externalId: string) => Promise<string[]>;
  /** A branch with a commit that the base lacks, and branches that it may be merged into, without `refs/heads/`. */
  readonly head: string;
  readonly headCommit: string;
  readonly bases: readonly [string, string];
  readonly review: (externalId: string, verdict: 'approved' | 'changes_requested') => Promise<void>;
  readonly check: (result: 'passed' | 'failed' | 'pending') => Promise<void>;
  readonly merge: (externalId: string) => Promise<void>;
  readonly remove: (externalId: string) => Promise<void>;
}

/** A pull or merge request of a code host in a test. */
export interface ForgePull {
  readonly number: number;
  readonly head: string;
  readonly sha: string;
  base: string;
  title: string;
  body: string;
  draft: boolean;
  state: 'open' | 'closed' | 'merged';
  reviews: ('approved' | 'changes_requested')[];
  comments: string[];
  /** How it was merged. */
  merged: 'merge' | 'squash' | null;
  /** The fork that has its head branch; null: the repository itself. */
  fork: string | null;
}

/** Whether a pull request can be merged: the host does not know yet, or it is in conflict. */
export type Mergeability = 'clean' | 'unknown' | 'conflict';

/** The pull requests of one repository of a code host in a test. */
export class Forge {
  readonly sha = 'a'.repeat(40);
  pulls: ForgePull[] = [];
  check: 'passed' | 'failed' | 'pending' | null = null;
  mergeability: Mergeability = 'clean';
  /** Of the fork that the token's user `bot` has. */
  fork: 'none' | 'being made' | 'there' = 'none';
  readonly #refusesSecond: boolean;

  /** `refusesSecond`: whether two requests at the same time open one only. */
  constructor(refusesSecond = true) {
    this.#refusesSecond = refusesSecond;
  }

  /** Null: the head branch has an open one. */
  open(
    request: Pick<ForgePull, 'head' | 'base' | 'title' | 'body' | 'draft'>,
    fork: string | null = null,
  ): ForgePull | null {
    const isSame = (pull: ForgePull) =>
      pull.head === request.head && pull.fork === fork && pull.state === 'open';
    if (this.#refusesSecond && this.pulls.some(isSame)) return null;
    const number = Math.max(0, ...this.pulls.map((pull) => pull.number)) + 1;
    const pull: ForgePull = {
      ...request,
      number,
      sha: this.sha,
      state: 'open',
      reviews: [],
      comments: [],
      merged: null,
      fork,
    };
    this.pulls.push(pull);
    return pull;
  }

  of(number: string | undefined): ForgePull | undefined {
    return this.pulls.find((pull) => String(pull.number) === number);
  }

  /** Merges one if it can be. */
  merge(pull: ForgePull, how: 'merge' | 'squash'): boolean {
    if (pull.state !== 'open' || this.mergeability !== 'clean') return false;
    Object.assign(pull, { state: 'merged', merged: how });
    return true;
  }

  control(host: CodeHost): HostControl {
    const of = (externalId: string) => {
      const pull = this.of(externalId);
      if (!pull) throw new Error(`there is no ${externalId}`);
      return pull;
    };
    return {
      host,
      head: 'topic/one',
      headCommit: this.sha,
      bases: ['main', 'next'],
      review: async (externalId, verdict) => void of(externalId).reviews.push(verdict),
      check: async (result) => {
        this.check = result;
      },
      comments: async (externalId) => of(externalId).comments,
      merge: async (externalId) => {
        of(externalId).state = 'merged';
      },
      remove: async (externalId) => {
        this.pulls = this.pulls.filter((pull) => pull !== of(externalId));
      },
    };
  }
}
