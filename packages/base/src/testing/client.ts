import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline';
import { factsOf } from '../errors.ts';
import { remoteSpawn } from '../spawn/remote.ts';
import { collect } from '../collect.ts';
import type { ExitStatus, SpawnedProcess, SpawnRequest } from '../spawn/spawn.ts';

/** A line on this process's stdin, as JSON. */
export type Order =
  /** Runs a program with this many bytes of input. */
  | { readonly tag: number; readonly request: SpawnRequest; readonly inputBytes: number }
  | { readonly tag: number; readonly kill: true }
  /** Sends a message that `remoteSpawn` never sends. */
  | { readonly message: unknown };

/** A line on its stdout, as JSON: the result of the order with this tag. */
export interface Report {
  readonly tag: number;
  readonly started?: true;
  readonly output?: { readonly bytes: number; readonly sha256: string; readonly text: string };
  readonly status?: ExitStatus;
  readonly error?: { readonly code: string; readonly message: string };
}

// A helper's child in the tests of `serveSpawn` and `remoteSpawn`.

const spawn = remoteSpawn();
const running = new Map<number, SpawnedProcess>();
const report = (what: Report) => process.stdout.write(`${JSON.stringify(what)}\n`);

async function run(tag: number, request: SpawnRequest, inputBytes: number): Promise<void> {
  const program = await spawn(request);
  running.set(tag, program);
  report({ tag, started: true });
  program.stdin.end(Buffer.alloc(inputBytes, 'some bytes\n'));
  program.stderr.pipe(process.stderr);
  const [output, status] = await Promise.all([collect(program.stdout, 2 ** 26), program.exited]);
  const sha256 = createHash('sha256').update(output).digest('hex');
  report({ tag, output: { bytes: output.length, sha256, text: output.subarray(0, 100).toString() }, status });
}

createInterface(process.stdin).on('line', (line) => {
  const order = JSON.parse(line) as Order;
  if ('message' in order) process.send?.(order.message);
  else if ('kill' in order) running.get(order.tag)?.kill();
  else
    run(order.tag, order.request, order.inputBytes).catch((error: unknown) => {
      const { code, message } = factsOf(error);
      report({ tag: order.tag, error: { code, message } });
    });
});
