import { factsOf } from '@fumehood/base';
import type { Answer } from './network.ts';
import type { World } from './world.ts';

/** The database server: one clock, and times when it is away. What it has committed it keeps. */
export class Database {
  /** By which its clock is off. */
  offsetMs = 0;
  /** By which it was set forward for good. */
  leaptMs = 0;
  /** Until when a process that starts could not know of that. */
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
   * Does a transaction and tells its answer. While the database is away nobody is told whether it was committed; mostly it was not.
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

/** An error as the instance answers it (`packages/instance/src/http/errors.ts`). */
export function errorAnswer(error: unknown, path: string): Answer {
  const { code, message, status = 500, details } = factsOf(error);
  if (code === 'lease_lost' && path.includes('/mark')) return { status: 404, body: 'null' };
  if (code === 'lease_lost' || code === 'entry_not_found')
    return { status: 500, body: JSON.stringify({ error: 'unknown job' }) };
  return { status, body: JSON.stringify({ error: message, code, ...details }) };
}
