import { json } from 'node:stream/consumers';
import { gatedSpawn, localSpawn } from '../spawn/local.ts';
import { type Parenting, plainSpawn } from './hostile.ts';

// Has a program run, and says what that says. Some tests kill it.

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
