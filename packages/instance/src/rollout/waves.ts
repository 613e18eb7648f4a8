import type { Waves } from '@fumehood/protocol';

/** A changeset of a batch change that was published, or is being published. */
export interface WaveMember {
  /** Milliseconds since 1970; null: it is being published. */
  readonly publishedAt: number | null;
  /** Whether it is a branch alone, which has no checks. */
  readonly isBranchAlone: boolean;
  readonly state: 'open' | 'draft' | 'closed' | 'merged' | 'deleted' | null;
  readonly checks: 'passed' | 'failed' | 'pending' | null;
}

/** What the waves say of the changesets that are still to be published. */
type WaveDecision =
  /** So many more may be published now. */
  | { readonly kind: 'go'; readonly free: number }
  /** None may be published before the checks of the wave are known. `until`: when time alone decides that, milliseconds since 1970. */
  | { readonly kind: 'wait'; readonly until: number | null }
  /** None may be published before somebody lets the waves go on. */
  | { readonly kind: 'stop'; readonly why: string };

/** How long after its publication a changeset without checks is known to have none, milliseconds. */
const noChecksMs = 600_000;

/**
 * Decides whether more changesets may be published. A wave is as many as the settings say, in the order of publication. `resumedAt`: when
 * somebody let the waves go on after they had stopped; what was published before then counts no more, and no wave is waited for in part.
 */
export function decideWave(
  { size, failedShareMax }: Waves,
  members: readonly WaveMember[],
  resumedAt: number | null,
  now: number,
): WaveDecision {
  const isNew = ({ publishedAt }: WaveMember) => publishedAt === null || publishedAt > (resumedAt ?? 0);
  const counted = members.filter(isNew).sort((a, b) => publicationOf(a) - publicationOf(b));
  const wave = counted.slice(Math.floor(Math.max(counted.length - 1, 0) / size) * size);
  const failed = wave.filter(hasFailed).length;
  if (failed / size > failedShareMax)
    return {
      kind: 'stop',
      why: `the checks of ${failed} of the ${size} changesets of the last wave have failed`,
    };
  if (wave.length < size) return { kind: 'go', free: size - wave.length };
  const waiting = wave.map((member) => settlesAt(member, now)).filter((at) => at === null || at > now);
  if (waiting.length === 0) return { kind: 'go', free: size };
  return { kind: 'wait', until: waiting.includes(null) ? null : Math.max(...(waiting as number[])) };
}

const publicationOf = ({ publishedAt }: WaveMember) => publishedAt ?? Number.MAX_SAFE_INTEGER;

const isOpen = ({ state }: WaveMember) => state === 'open' || state === 'draft' || state === null;

/** One that was merged or closed in spite of its checks is no failure. */
const hasFailed = (member: WaveMember) => member.checks === 'failed' && isOpen(member);

/** Returns when it is known what the checks of a changeset come to; null: when the host says so. */
function settlesAt(member: WaveMember, now: number): number | null {
  const { publishedAt, isBranchAlone, checks } = member;
  if (publishedAt === null || (checks === 'pending' && isOpen(member))) return null;
  return isBranchAlone || checks !== null || !isOpen(member) ? now : publishedAt + noChecksMs;
}
