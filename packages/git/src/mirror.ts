import { randomUUID } from 'node:crypto';
import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import {
  type AllowedCommand,
  collect,
  removeTree,
  runToEnd,
  type Spawn,
  type SpawnedProcess,
  type SpawnRequest,
  sharedDirectory,
} from '@fumehood/base';
import { repositoryInvalid } from './errors.ts';
import { checkPacks, gitEnvironment, packFiles, packMax, toRepositoryInvalid } from './repository.ts';

/** The branches and tags of a mirror: objects by full names. */
export interface MirrorRefs {
  readonly head: string | null;
  readonly refs: ReadonlyMap<string, string>;
}

/**
 * A bare repository with the whole history of another one. Git runs on it under the Spawn profile only, and cannot write to it: it puts each pack
 * that arrives into a directory of its own, and what it left there is checked before it becomes part of the mirror.
 */
export interface Mirror {
  readonly directory: string;
  readonly refs: MirrorRefs;
  /** How many packs it has: one for each time that objects arrived. */
  readonly packs: number;
  /**
   * Takes objects in, and then these branches and tags in the place of the present ones. A mirror to which nothing arrived but branches that went
   * away takes `pack` null. Nothing changes if it fails. Errors: `repository_invalid`, also when an object of a branch or tag is missing,
   * `output_refused`, and those of the pack's stream.
   */
  update(refs: MirrorRefs, pack: AsyncIterable<Uint8Array> | null): Promise<Mirror>;
  /** Starts git on the mirror, without permission to write. `label` names the program in errors. */
  git(label: string, args: readonly string[]): Promise<SpawnedProcess>;
}

const program = '/usr/bin/git';
const onRepository = ['--git-dir', '/repository'];
/** Where git finds the objects that a mirror has already, while it takes in a pack that builds on them. */
const stagingEnvironment = { ...gitEnvironment, GIT_ALTERNATE_OBJECT_DIRECTORIES: '/mirror/objects' };
const indexPack = ['index-pack', '--stdin', '--fix-thin', `--max-input-size=${packMax}`];
const connected = ['rev-list', '--objects', '--quiet', '--stdin'];
const packObjects = ['pack-objects', '--revs', '--stdout', '--quiet'];

/** Returns what a helper has to allow for mirrors below `directory`, and for these uses of `Mirror.git`. */
export function mirrorCommands(
  directory: string,
  uses: readonly (readonly (string | RegExp)[])[],
): AllowedCommand[] {
  const repository = { target: '/repository', mode: 'ro', from: directory } as const;
  const packs = { target: '/repository/objects/pack', mode: 'rw', from: directory } as const;
  const mirror = { target: '/mirror', mode: 'ro', from: directory } as const;
  const staged = { program, env: stagingEnvironment };
  return [
    { ...staged, args: [...onRepository, ...indexPack], binds: [repository, packs, mirror] },
    { ...staged, args: [...onRepository, ...connected], binds: [repository, mirror] },
    ...[packObjects, ...uses].map((args) => ({
      program,
      env: gitEnvironment,
      args: [...onRepository, ...args],
      binds: [repository],
    })),
  ];
}

/** Makes an empty mirror in `directory`, which must not exist. */
export async function makeMirror(spawn: Spawn, directory: string): Promise<Mirror> {
  await makeBare(directory);
  await mkdir(join(directory, 'objects/pack'));
  await chmod(join(directory, 'objects/pack'), 0o750); // git runs as another user with this process's group, and lists it
  await writeRefs(directory, { head: null, refs: new Map() });
  return openMirror(spawn, directory);
}

/** Opens the mirror in a directory. */
export async function openMirror(spawn: Spawn, directory: string): Promise<Mirror> {
  const packs = (await packFiles(join(directory, 'objects/pack'))).filter((name) => name.endsWith('.pack'));
  return mirrorOf(spawn, directory, await readRefs(directory), packs.length);
}

function mirrorOf(spawn: Spawn, directory: string, refs: MirrorRefs, packs: number): Mirror {
  return {
    directory,
    refs,
    packs,
    async update(next, pack) {
      const added = pack === null ? 0 : await takeIn(spawn, directory, refs, next, pack);
      await writeRefs(directory, next);
      return mirrorOf(spawn, directory, { head: next.head, refs: next.refs }, packs + added);
    },
    git: (label, args) => spawn(readOnly(label, directory, args)),
  };
}

const readOnly = (label: string, directory: string, args: readonly string[]): SpawnRequest => ({
  label,
  program,
  args: [...onRepository, ...args],
  env: gitEnvironment,
  binds: [{ source: directory, target: '/repository', mode: 'ro' }],
});

/** Puts a pack into the mirror, if with it every object of the new branches and tags is there. Returns the number of packs that were added. */
async function takeIn(
  spawn: Spawn,
  directory: string,
  before: MirrorRefs,
  next: MirrorRefs,
  pack: AsyncIterable<Uint8Array>,
): Promise<number> {
  const staging = join(directory, `incoming-${randomUUID()}`);
  const packs = join(staging, 'objects/pack');
  await makeBare(staging);
  try {
    await writeRefs(staging, { head: null, refs: new Map() });
    await sharedDirectory(packs);
    const request = (label: string, args: readonly string[], writable: boolean): SpawnRequest => ({
      label,
      program,
      args: [...onRepository, ...args],
      env: stagingEnvironment,
      binds: [
        { source: staging, target: '/repository', mode: 'ro' },
        ...(writable ? [{ source: packs, target: '/repository/objects/pack', mode: 'rw' as const }] : []),
        { source: directory, target: '/mirror', mode: 'ro' },
      ],
    });
    const run = async (label: string, args: readonly string[], stdin: AsyncIterable<Uint8Array>) =>
      await runToEnd(spawn, request(label, args, args === indexPack), { stdin: Readable.from(stdin) }).catch(
        (error: unknown) => {
          throw toRepositoryInvalid(error);
        },
      );
    const { uid } = await run('git index-pack', indexPack, pack);
    await checkPacks(packs, uid);
    const tips = [
      ...new Set([...next.refs.values()].map((object) => `${object}\n`)),
      ...new Set([...before.refs.values()].map((object) => `^${object}\n`)),
    ];
    await run('git rev-list', connected, Readable.from([Buffer.from(tips.join(''))]));
    const names = await packFiles(packs);
    // Git looks for an index first, so the pack has to be there when the index appears.
    for (const name of names.toSorted((one) => (one.endsWith('.pack') ? -1 : 1)))
      await rename(join(packs, name), join(directory, 'objects/pack', name));
    return names.filter((name) => name.endsWith('.pack')).length;
  } finally {
    await removeTree(spawn, staging);
  }
}

async function makeBare(directory: string): Promise<void> {
  for (const part of ['', 'objects', 'refs']) {
    await mkdir(join(directory, part), { recursive: true });
    await chmod(join(directory, part), 0o711);
  }
  await writeShared(join(directory, 'config'), '[core]\n\trepositoryformatversion = 0\n\tbare = true\n');
}

const refsFile = 'packed-refs';

/** Writes branches and tags, all at once. */
async function writeRefs(directory: string, { head, refs }: MirrorRefs): Promise<void> {
  await writeShared(join(directory, 'HEAD'), `ref: ${head ?? 'refs/heads/main'}\n`);
  const lines = [...refs].sort(([one], [other]) => (one < other ? -1 : 1));
  await writeShared(join(directory, refsFile), lines.map(([name, object]) => `${object} ${name}\n`).join(''));
}

async function readRefs(directory: string): Promise<MirrorRefs> {
  const lines = (await readFile(join(directory, refsFile), 'utf8')).split('\n').filter((line) => line !== '');
  const refs = new Map(lines.map((line) => [line.slice(41), line.slice(0, 40)]));
  const head = (await readFile(join(directory, 'HEAD'), 'utf8')).slice('ref: '.length).trimEnd();
  return { head: refs.has(head) ? head : null, refs };
}

/** Writes a file that git, which runs as another user, may read; a reader sees the old or the new contents. */
async function writeShared(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomUUID()}`;
  await writeFile(temporary, text);
  await chmod(temporary, 0o644);
  await rename(temporary, path);
}

/** Returns the pack of one commit of a mirror, without the commit's history: what a job is granted. Errors: `program_failed`. */
export async function* exportCommit(spawn: Spawn, mirror: Mirror, commit: string): AsyncGenerator<Buffer> {
  const process = await spawn(readOnly('git pack-objects', mirror.directory, packObjects));
  process.stdin.end(`--shallow ${commit}\n${commit}\n`);
  const said = collect(process.stderr, 4_096).catch(() => Buffer.alloc(0));
  try {
    yield* process.stdout;
  } catch (error) {
    process.kill();
    throw error;
  }
  const { code } = await process.exited;
  if (code !== 0)
    throw repositoryInvalid((await said).toString('utf8').trim() || `git pack-objects ended with ${code}`);
}
