import type { Clock } from '@fumehood/base';
import type { Logger } from 'pino';
import type { Db } from '../db/connect.ts';
import { leaseTimes, type QueueKinds } from './kind.ts';
import { readBetween, steadyClock } from './database-clock.ts';
import { expireLeases } from './queue.ts';
import { closeEmptyLines } from './sql/lines.ts';
import { databaseTime } from './sql/leases.ts';

/** After a lease's end, before its job may run again: the clocks of the two sides do not tick alike. */
const marginMs = 1_000;
const periodMs = 500;
/** Every so many rounds, lines are looked through. */
const tidyEvery = 10;

/** Ends leases that ran out, until it is stopped. Any number of instances may do it at once. */
export async function reap(
  db: Db,
  kinds: QueueKinds,
  clock: Clock,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const believed = steadyClock(leaseTimes.upstream + marginMs, (ms) =>
    log.warn(
      { ms },
      "the database's clock was set forward: leases end by the time before, until all of that time are over",
    ),
  );
  for (let round = 1; !signal.aborted; round += 1) {
    try {
      const time = believed(await readBetween(clock, () => databaseTime(db)));
      const count = await expireLeases(db, kinds, new Date(time - marginMs));
      if (count > 0) log.warn({ count }, 'leases ran out');
      if (round % tidyEvery === 0) await closeEmptyLines(db);
    } catch (error) {
      log.error({ error }, 'looking for leases that ran out failed; it is tried again');
    }
    await clock.sleep(periodMs, signal).catch(() => {});
  }
}
