import { json } from 'node:stream/consumers';
import { gatedSpawn, localSpawn } from '../spawn/local.ts';
import type { Identity } from '../spawn/profile.ts';
import type { SpawnRequest } from '../spawn/spawn.ts';
import { plainSpawn } from './hostile.ts';

/** What this process does: it has a program run, and says what that says. Some tests kill it. */
export interface Parenting {
  readonly identity: Identity;
  readonly request: SpawnRequest;
  /** `gated` leaves the gate closed and says `waiting`. */
  readonly how: 'profile' | 'gated' | 'plain';
}

const { identity, request, how } = (await json(process.stdin)) as Parenting;
if (how === 'gated') {
  await gatedSpawn(identity)(request);
  process.stdout.write('waiting\n');
} else {
  const running = await (how === 'profile' ? localSpawn : plainSpawn)(identity)(request);
  running.stdin.end();
  running.stdout.pipe(process.stdout);
  running.stderr.pipe(process.stderr);
}
