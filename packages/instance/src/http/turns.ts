import type { Clock } from '@fumehood/base';
import { makeSlots, type Slots } from '../slots.ts';
import type { RequestLimits } from './limits.ts';

/** The work of requests of which only so much is done at once. */
export interface Turns {
  /** Receives an upload under an access token. */
  readonly upload: Slots;
  /** Receives an index under a job's token, or one for its upload. */
  readonly indexUpload: Slots;
  /** Reads the diff of a step, which is in memory then. */
  readonly stepDiff: Slots;
  /** Receives a part of an index. Upstream's client sends all parts at once. */
  readonly indexPart: Slots;
  /** Stores an index of a job: holds a connection to the database. */
  readonly index: Slots;
  /** Stores an index that a person sent. Builds that share a token wait for each other. */
  readonly personIndex: Slots;
  /** Serves a clone: holds a process. */
  readonly clone: Slots;
  /** Checks a pack: holds a process. */
  readonly pack: Slots;
  /** Checks the delivery of a webhook: holds a connection to the database, before anything is proved. The holder is its repository. */
  readonly delivery: Slots;
}

/** Makes the turns of one process of the instance. */
export function makeTurns(limits: RequestLimits, clock: Clock): Turns {
  const { turnMs, uploads, stepDiffs, parts, indexes, clones, packs, deliveries } = limits;
  const make = (what: string, perHolder: number, all: number, waiting: number, ms = turnMs.store) =>
    makeSlots({ what, perHolder, all, waiting, turnMs: ms }, clock);
  return {
    upload: make('uploads', uploads.person, Infinity, 0),
    indexUpload: make('uploads', uploads.job, Infinity, 0),
    stepDiff: make('diffs of steps', uploads.job, stepDiffs, uploads.job),
    indexPart: make('parts of uploads', parts.atOnce, Infinity, parts.waiting),
    index: make('indexes', uploads.job, indexes, uploads.job),
    personIndex: make('indexes', uploads.personIndexes, uploads.personIndexes, uploads.waiting),
    clone: make('clones', clones.perJob, clones.all, clones.waiting, turnMs.clone),
    pack: make('packs', uploads.person, packs, uploads.person),
    delivery: make('deliveries', 1, deliveries.all, deliveries.waiting, turnMs.delivery),
  };
}
