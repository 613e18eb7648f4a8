import { factsOf } from '@fumehood/base';
import type { Answer } from './network.ts';
import type { World } from './world.ts';

/** The database server: it has one clock, is sometimes away, and keeps what it has committed. */
export class Database {
  /** How far its clock is off, ms. */
  offsetMs = 0;
  /** How far its clock was set forward for good, ms. */
  leaptMs = 0;
  /** True time until which a process that starts cannot know that the clock was set forward. */
  leapKnownUntil = 0;
  away = false;
  private readonly world: World;

  constructor(world: World) {
    this.world = world;
  }

  now(): number {
    return this.world.time + this.offsetMs + this.leaptMs;
  }

  /**
   * Runs a transaction and returns its answer. While the database is away, the caller does not learn whether the transaction was
   * committed; mostly it was not.
   */
  transact(work: () => Answer): { readonly answer: Answer; readonly refused: boolean } {
    if (!this.away) return { answer: work(), refused: false };
    if (this.world.random.chance(0.2)) work();
    return { answer: unavailable, refused: true };
  }
}

const unavailable: Answer = {
  status: 503,
  body: JSON.stringify({ error: 'the database does not answer', code: 'database_unavailable' }),
};

/** Returns the instance's answer to an error, as `packages/instance/src/http/errors.ts` does. */
export function errorAnswer(error: unknown, path: string): Answer {
  const { code, message, status = 500, details } = factsOf(error);
  if (code === 'lease_lost' && path.includes('/mark')) return { status: 404, body: 'null' };
  if (code === 'lease_lost') return { status: 500, body: JSON.stringify({ error: 'unknown job' }) };
  return { status, body: JSON.stringify({ error: message, code, ...details }) };
}
