import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { factsOf } from '@fumehood/base';
import { type Client, unpackArtifact } from '@fumehood/client';
import { artifactPathsSchema } from '@fumehood/protocol';
import { usage } from '../errors.ts';

/** Parses the paths of `--out`. Errors: `usage`. */
export function parseArtifactPaths(paths: readonly string[]): string[] {
  const parsed = artifactPathsSchema.safeParse(paths);
  if (parsed.success) return parsed.data;
  const { message, path } = parsed.error.issues[0] as { message: string; path: PropertyKey[] };
  const which = paths[Number(path[0])];
  throw usage(
    `--out ${which ?? ''} ${message}`.replace('  ', ' '),
    'Give the path of a file or a directory below the directory in which the command starts, such as `--out reports`.',
  );
}

/**
 * Writes what a job brought back below a directory, each at its own path. Returns whether all of `paths` are there; calls `note` for
 * what is not written. Errors: those of the client, and of the file system.
 */
export async function fetchArtifacts(
  client: Client,
  id: number,
  paths: readonly string[],
  directory: string,
  note: (line: string) => void,
): Promise<boolean> {
  const target = resolve(directory);
  await mkdir(target, { recursive: true });
  const present = new Set((await client.artifacts(id)).map(({ path }) => path));
  let isWhole = true;
  for (const path of paths) {
    if (!present.has(path)) {
      note(`the job has not brought back ${path}`);
      isWhole = false;
      continue;
    }
    try {
      const { skipped } = await unpackArtifact(await client.artifact(id, path), path, target);
      for (const one of skipped) note(`left out ${one}: only files and directories are written`);
    } catch (error) {
      const { code, message, remedy } = factsOf(error);
      if (!/^(artifact|tar)_/.test(code)) throw error;
      for (const line of [message, remedy]) if (line) note(line);
      isWhole = false;
    }
  }
  return isWhole;
}
