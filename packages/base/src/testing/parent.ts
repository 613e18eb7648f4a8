import { json } from 'node:stream/consumers';
import { gatedSpawn, localSpawn } from '../spawn/local.ts';
import { type ParentOrder, plainSpawn } from './hostile.ts';

// Runs a program and passes its output on. Some tests kill this process.

const { identity, request, how } = (await json(process.stdin)) as ParentOrder;
if (how === 'gated' || how === 'opened') {
  const gated = await gatedSpawn(identity, null)(request);
  if (how === 'opened') gated.open();
  process.stdout.write('waiting\n');
} else {
  const running = await (how === 'profile' ? localSpawn : plainSpawn)(identity)(request);
  running.stdin.end();
  running.stdout.pipe(process.stdout);
  running.stderr.pipe(process.stderr);
}
