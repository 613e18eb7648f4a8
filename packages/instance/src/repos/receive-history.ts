import { FumehoodError } from '@fumehood/base';
import type { Mirror, MirrorRefs } from '@fumehood/git';
import type { putHistorySchema } from '@fumehood/protocol';
import type * as z from 'zod';
import type { Db } from '../db/connect.ts';
import { historyNeeded, syncRunning } from './errors.ts';
import type { Mirrors } from './mirrors.ts';
import { type Claim, claimSent, failSync, finishSync } from './records.ts';
import { holdClaim, packsMax } from './sync.ts';

type History = z.output<typeof putHistorySchema>;

/**
 * Stores what a client sends of a repository that has no URL: the history of a branch's tip, which `pack` holds, or with `base` what is new since
 * that commit. Errors: those of `claimSent`, `history_needed`, and those of `Mirror.update`.
 */
export async function receiveHistory(
  { db, mirrors }: { readonly db: Db; readonly mirrors: Mirrors },
  name: string,
  history: History,
  pack: () => AsyncIterable<Uint8Array>,
): Promise<void> {
  const claimed = await claimSent(db, name);
  using _held = holdClaim(db, claimed);
  try {
    const { branch, commit, base } = history;
    const refs: MirrorRefs = { head: branch, refs: new Map([[branch, commit]]) };
    const known = base === undefined ? null : await openAt(mirrors, claimed, base);
    const { place, mirror } = known ?? (await mirrors.make());
    const isNew = place !== claimed.place;
    let kept = false;
    try {
      await mirror.update(refs, base === commit ? null : pack());
      kept = await finishSync(db, claimed, { place, remote: { ...refs, commits: refs.refs } });
    } finally {
      const unused = kept ? claimed.place : place;
      if (isNew && unused !== null) await mirrors.remove(unused);
    }
    if (!kept) throw syncRunning(name);
  } catch (error) {
    const failure = error instanceof FumehoodError ? error.message : 'its history could not be stored';
    await failSync(db, claimed, failure);
    throw error;
  }
}

/** Opens the mirror of a repository if a pack can build on it: `base` is its tip. Errors: `history_needed`. */
async function openAt(
  mirrors: Mirrors,
  { name, place }: Claim,
  base: string,
): Promise<{ readonly place: string; readonly mirror: Mirror }> {
  // A mirror that cannot be read is made anew from the whole history.
  const mirror = place === null ? null : await mirrors.open(place).catch(() => null);
  if (place === null || mirror === null || mirror.packs > packsMax) throw historyNeeded(name);
  if (![...mirror.refs.refs.values()].includes(base)) throw historyNeeded(name);
  return { place, mirror };
}
