import { createReadStream } from 'node:fs';
import { realpath, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { FumehoodError, runToEnd, type Spawn } from '@fumehood/base';
import { tarEnd, tarPadding } from '@fumehood/disk';
import { tarMembers, type WorkspaceTar } from '../workspace/tar-members.ts';

/** The programs of this host that guests get, and where they have them: in no directory of a `PATH`. */
export const toolPaths = {
  git: '/tools/git',
  dd: '/tools/dd',
  libraries: '/tools/lib',
  /** What git finds where it would look for its programs: a `git` that does nothing. */
  programs: '/tools/bin',
} as const;

/** The programs that are on the disk of the tools, as this host has them. */
export const hostTools = [
  ['/usr/bin/git', toolPaths.git],
  ['/usr/bin/dd', toolPaths.dd],
  ['/usr/bin/true', `${toolPaths.programs}/git`],
] as const;

/** Bytes of the list of a program's libraries. */
const listMax = 65_536;

/**
 * Writes the tools as a tar stream: programs of this host, the shared libraries that they load, and the loader, at the path that the
 * programs name. Nothing else is there: no shell, and no configuration. Errors: `internal` for a program whose libraries are not found.
 */
export async function toolsTar(spawn: Spawn): Promise<WorkspaceTar> {
  const files = new Map<string, string>(hostTools.map(([source, target]) => [target, source]));
  for (const [source] of hostTools)
    for (const { name, path } of await librariesOf(spawn, source))
      files.set(name === null ? path : `${toolPaths.libraries}/${name}`, path);
  const { header, parents, entries } = tarMembers();
  const bytes = async function* () {
    for (const [target, source] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const path = target.slice(1);
      const file = await realpath(source);
      const { size } = await stat(file);
      yield* parents(path);
      yield header({ path, type: 'file', size, mode: 0o755 });
      yield* createReadStream(file, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>;
      yield tarPadding(size);
    }
    yield tarEnd();
  };
  return { bytes: bytes(), entries };
}

/** Returns the libraries that a program loads, by the names that it gives them; the loader has its path alone. */
async function librariesOf(spawn: Spawn, program: string): Promise<{ name: string | null; path: string }[]> {
  const { stdout } = await runToEnd(
    spawn,
    {
      label: `the loader of ${basename(program)}`,
      program,
      args: [],
      env: { LD_TRACE_LOADED_OBJECTS: '1' },
      limits: { memoryBytes: 0 },
    },
    { maxStdoutBytes: listMax },
  );
  return librariesIn(stdout.toString('utf8'), program);
}

/** Reads a loader's list of libraries. Errors: `internal` for one that is not found. */
export function librariesIn(list: string, program: string): { name: string | null; path: string }[] {
  return list.split('\n').flatMap((line) => {
    const [, name, path] = /^\s*(?:(\S+) => )?(\/\S+) \(0x[0-9a-f]+\)$/.exec(line) ?? [];
    if (path !== undefined) return [{ name: name ?? null, path }];
    if (!line.includes('=>')) return []; // the kernel's own, which is no file
    throw new FumehoodError({
      code: 'internal',
      message: `${program} of this machine lacks a library: ${line.trim().slice(0, 200)}`,
      remedy: 'Install the packages of this program again.',
    });
  });
}
