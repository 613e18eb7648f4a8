import type { SpawnedProcess } from '@fumehood/base';

/** What git printed. */
export interface GitOutput {
  readonly code: number | null;
  readonly stdout: Buffer;
  /** It printed more than its bytes, or ran for longer than its time, and was ended: `stdout` is the beginning of the output. */
  readonly isCut: boolean;
}

/** How much of git's output is read, bytes, and how long it may run, milliseconds. Git is ended at the first of them. */
export interface ReadBounds {
  readonly bytes: number;
  readonly ms: number;
}

/** Reads what git prints for this input, until it ends or is ended. */
export async function readGit(
  child: SpawnedProcess,
  { bytes, ms }: ReadBounds,
  input = '',
): Promise<GitOutput> {
  const chunks: Buffer[] = [];
  let size = 0;
  let isCut = false;
  const end = () => {
    isCut = true;
    child.kill();
  };
  const timer = setTimeout(end, ms);
  try {
    child.stderr.resume();
    child.stdin.end(input);
    for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
      chunks.push(chunk.subarray(0, bytes - size));
      size += chunk.length;
      if (size > bytes) break;
    }
    if (size > bytes) end();
    const { code } = await child.exited;
    return { code, stdout: Buffer.concat(chunks), isCut };
  } finally {
    clearTimeout(timer);
  }
}
