import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { collect } from '../collect.ts';
import { programFailed } from './errors.ts';
import type { Spawn, SpawnRequest } from './spawn.ts';

/** Reads a stream to its end and returns its last bytes as text. */
async function tail(stream: AsyncIterable<Uint8Array>, bytes: number): Promise<string> {
  let kept = Buffer.alloc(0);
  for await (const chunk of stream) kept = Buffer.concat([kept, chunk]).subarray(-bytes);
  return kept.toString('utf8');
}

/** What a program left that has ended with 0. */
export interface Finished {
  readonly stdout: Buffer;
  /** The uid that it ran as, for `openOutput`. */
  readonly uid: number;
}

/**
 * Runs a program that must exit with 0, and returns its stdout, which may have 16 MiB unless `maxStdoutBytes` says otherwise.
 * Errors: `program_failed` with the exit code and the end of stderr, `too_big`, `spawn_failed`.
 */
export async function runToEnd(
  spawn: Spawn,
  request: SpawnRequest,
  options: { readonly stdin?: Readable | Uint8Array; readonly maxStdoutBytes?: number } = {},
): Promise<Finished> {
  const process = await spawn(request);
  const stderr = tail(process.stderr, 4096).catch(() => '');
  const output = collect(process.stdout, options.maxStdoutBytes ?? 16 * 2 ** 20);
  output.catch(() => process.kill()); // rejects below, where `output` is awaited
  if (options.stdin instanceof Uint8Array || !options.stdin) process.stdin.end(options.stdin);
  else {
    const fed = pipeline(options.stdin, process.stdin).catch((error: NodeJS.ErrnoException) => {
      // A program may end without reading everything: its exit code says whether that was an error.
      if (
        !['EPIPE', 'ECONNRESET', 'ERR_STREAM_PREMATURE_CLOSE', 'ERR_STREAM_UNABLE_TO_PIPE'].includes(
          error.code ?? '',
        )
      ) {
        process.kill();
        throw error;
      }
    });
    await Promise.all([fed, process.exited]);
  }
  const status = await process.exited;
  const stdout = await output;
  if (status.timedOut) throw programFailed(request.label, 'took too long', await stderr);
  if (status.code !== 0)
    throw programFailed(request.label, `ended with ${status.code ?? status.signal}`, await stderr);
  return { stdout, uid: process.uid };
}
