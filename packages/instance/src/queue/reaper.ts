import type { Clock } from '@fumehood/base';
import type { Logger } from 'pino';
import type { Db } from '../db/connect.ts';
import type { Health } from '../db/health.ts';
import { leaseTimes, type QueueKinds } from './kind.ts';
import { readBetween, steadyClock } from './database-clock.ts';
import { endOverdue, expireLeases } from './queue.ts';
import { followClockBack } from './sql/clock.ts';
import { closeEmptyLines } from './sql/lines.ts';
import { databaseTime } from './sql/leases.ts';

/** The time between the end of a lease and the next run of its job, milliseconds: the two sides' clocks do not tick alike. */
const marginMs = 1_000;
const periodMs = 500;
/** Empty lines are closed, and deadlines are checked, after this many rounds. */
const roundsPerClose = 10;

/** Ends leases that ran out, every half second, and attempts that outlive their deadline, until `signal` is aborted. Any number of replicas may do this at once. */
export async function reap(
  db: Db,
  kinds: QueueKinds,
  clock: Clock,
  log: Logger,
  signal: AbortSignal,
  health: Health,
): Promise<void> {
  // Nobody knows what happened to the clock before this process started.
  let clockWasSetBack = true;
  const believed = steadyClock(leaseTimes.upstream + marginMs, (ms) => {
    if (ms < 0) clockWasSetBack = true;
    log.warn(
      { ms },
      ms < 0
        ? "the database's clock was set back: leases and waiting jobs are corrected"
        : "the database's clock was set forward: until all earlier leases are over, leases are ended by the clock as it was before",
    );
  });
  for (let round = 1; !signal.aborted; round += 1) {
    try {
      const time = believed(await readBetween(clock, () => health.watch(() => databaseTime(db))));
      if (clockWasSetBack) await followClockBack(db);
      clockWasSetBack = false;
      const count = await expireLeases(db, kinds, new Date(time - marginMs));
      if (count > 0) log.warn({ count }, 'leases ran out');
      if (round % roundsPerClose === 0) {
        const overdue = await endOverdue(db, kinds, new Date(time));
        if (overdue > 0) log.warn({ count: overdue }, 'attempts outlived their deadline');
        await closeEmptyLines(db);
      }
    } catch (error) {
      log.error({ error }, 'ending the leases that ran out failed; the next round tries again');
    }
    await clock.sleep(periodMs, signal).catch(() => {});
  }
}
