import type { ChangesetOperation, Publication } from '@fumehood/protocol';
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
  const { wanted, externalState, closing, archiving, detaching, isHosted } = facts;
  if (closing || archiving || detaching) {
    const isOpen = externalState === 'open' || externalState === 'draft';
    const ends: [ChangesetOperation, boolean][] = [
      ['close', closing && isOpen && isHosted],
      ['archive', archiving],
      ['detach', detaching],
    ];
    return ends.filter(([, isDue]) => isDue).map(([operation]) => operation);
  }
  if (wanted === null) return [];
  if (wanted.kind === 'existing') return externalState === null ? ['import'] : [];
  if (externalState === 'merged' || externalState === 'deleted') return [];
  return facts.publication === 'unpublished' ? toPublish(facts, wanted) : toUpdate(facts, wanted);
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
  const operations: [ChangesetOperation, boolean][] = [
    ['reopen', isHosted && externalState === 'closed'],
    ['push', isOther('diff', 'message', 'authorName', 'authorEmail')],
    ['publish', isHosted && publication === 'pushed'],
    ['undraft', isHosted && publication === 'draft' && wantedPublication(wanted.published, asked) === true],
    ['update', isHosted && publication !== 'pushed' && isOther('title', 'body', 'baseRef')],
  ];
  return operations.filter(([, isDue]) => isDue).map(([operation]) => operation);
}
