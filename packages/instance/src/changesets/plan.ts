import type { ChangesetOperation, Publication } from '@fumehood/protocol';
import type { HostComment } from '../code-hosts/code-host.ts';
import { wantedPublication } from './publication.ts';

/** What a changeset shall be. */
export type WantedChangeset =
  | { readonly kind: 'existing' }
  | {
      readonly kind: 'branch';
      /** The digest of its diff. */
      readonly diff: string;
      readonly message: string;
      readonly authorName: string;
      readonly authorEmail: string;
      readonly title: string;
      readonly body: string;
      readonly baseRef: string;
      readonly published: Publication | null;
    };

/** What is known of a changeset before something is done with it. */
export interface ChangesetFacts {
  /** Null: it has no changeset spec any more. */
  readonly wanted: WantedChangeset | null;
  /** What it was made of last; null: nothing was done yet. */
  readonly made: WantedChangeset | null;
  readonly publication: 'unpublished' | 'pushed' | 'draft' | 'published';
  /** What users ask for where the spec says nothing. */
  readonly asked: Publication | null;
  readonly externalState: 'open' | 'draft' | 'closed' | 'merged' | 'deleted' | null;
  readonly closing: boolean;
  readonly archiving: boolean;
  readonly detaching: boolean;
  /** Comments that users ask for. */
  readonly comments: readonly HostComment[];
  /** How users ask for it to be merged. */
  readonly merging: 'merge' | 'squash' | null;
  /** Whether nothing is due but what users ask for: all else is as it was left, such as closed. */
  readonly onlyAsked: boolean;
  /** Whether its repository is on a code host. */
  readonly isHosted: boolean;
}

/**
 * Returns what has to be done with a changeset, in this order: `nothing` alone if that is so. A closed one is reopened before its branch is pushed, because code
 * hosts refuse to reopen one whose branch has changed meanwhile.
 */
export function planChangeset(facts: ChangesetFacts): ChangesetOperation[] {
  const operations = operationsFor(facts);
  return operations.length > 0 ? operations : ['nothing'];
}

function operationsFor(facts: ChangesetFacts): ChangesetOperation[] {
  const { externalState, closing, archiving, detaching, isHosted, comments, merging, onlyAsked } = facts;
  const isOpen = externalState === 'open' || externalState === 'draft';
  const isEnded = externalState === 'merged' || externalState === 'deleted';
  const ends = closing || archiving || detaching;
  return [
    ...due([['comment', comments.length > 0 && isHosted]]),
    ...(ends || onlyAsked ? [] : toBecome(facts, isEnded)),
    ...due([
      ['merge', merging !== null && isHosted && !isEnded && !ends],
      ['close', closing && isOpen && isHosted],
      ['archive', archiving],
      ['detach', detaching],
    ]),
  ];
}

const due = (operations: readonly [ChangesetOperation, boolean][]) =>
  operations.filter(([, isDue]) => isDue).map(([operation]) => operation);

/** What makes it what its spec says. */
function toBecome(facts: ChangesetFacts, isEnded: boolean): ChangesetOperation[] {
  const { wanted, externalState, publication } = facts;
  if (wanted === null) return [];
  if (wanted.kind === 'existing') return externalState === null ? ['import'] : [];
  if (isEnded) return [];
  return publication === 'unpublished' ? toPublish(facts, wanted) : toUpdate(facts, wanted);
}

type WantedBranch = Extract<WantedChangeset, { kind: 'branch' }>;

function toPublish({ asked, isHosted }: ChangesetFacts, wanted: WantedBranch): ChangesetOperation[] {
  const publication = wantedPublication(wanted.published, asked);
  // A plain git remote has no drafts: a branch that is a draft stays here.
  if (publication === false || (publication === 'draft' && !isHosted)) return [];
  return isHosted ? ['push', 'publish'] : ['push'];
}

function toUpdate(facts: ChangesetFacts, wanted: WantedBranch): ChangesetOperation[] {
  const { publication, asked, isHosted, externalState } = facts;
  const made = facts.made?.kind === 'branch' ? facts.made : null;
  const isOther = (...fields: (keyof WantedBranch)[]) =>
    made === null || fields.some((field) => made[field] !== wanted[field]);
  return due([
    ['reopen', isHosted && externalState === 'closed'],
    ['push', isOther('diff', 'message', 'authorName', 'authorEmail')],
    ['publish', isHosted && publication === 'pushed'],
    ['undraft', isHosted && publication === 'draft' && wantedPublication(wanted.published, asked) === true],
    ['update', isHosted && publication !== 'pushed' && isOther('title', 'body', 'baseRef')],
  ]);
}
