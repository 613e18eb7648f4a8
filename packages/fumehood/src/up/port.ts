import { join } from 'node:path';
import { instanceFileSchema } from '@fumehood/instance';
import { readJson, type State } from '../state/state.ts';

/**
 * Returns the port of an instance that was killed here, so that browsers and executors of other makers find the new one; null without
 * one.
 */
export function portOfKilled(state: State): number | null {
  const killed = instanceFileSchema.safeParse(readJson(join(state.run, 'instance.json'))).data;
  return killed ? Number(new URL(killed.url).port) : null;
}
