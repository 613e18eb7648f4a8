import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import {
  allowedRequest,
  type AllowedCommand,
  openFileCache,
  type Spawn,
  type SpawnRequest,
  systemClock,
} from '@fumehood/base';
import { makeRepository, packMax } from '@fumehood/git';
import { fetchImage, openFetchMemory } from '@fumehood/oci';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { diskMakerOf } from '../disk-maker/make-disk.ts';
import { insidePaths } from '../disk-maker/messages.ts';
import { uploadIndex } from '../upload/upload.ts';
import { agentCommands } from './commands.ts';
import { sandboxNode } from '../sandbox-node.ts';

const commit = 'c'.repeat(40);
let root: string;
let work: string;
let node: string;
let script: string;
let commands: AllowedCommand[];
/** What the agent has asked for. */
let asked: SpawnRequest[];

beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'fumehood-commands-')));
  work = join(root, 'executor/work');
  mkdirSync(work, { recursive: true });
  mkdirSync(join(root, 'runtime'));
  node = join(root, 'runtime/node');
  script = join(root, 'runtime/script.mjs');
  for (const file of [node, script]) writeFileSync(file, '');
  commands = agentCommands({ node, diskMaker: script, src: script }, join(root, 'executor'));
  asked = [];
});
afterEach(() => rmSync(root, { recursive: true }));

/** Runs nothing: checks each request as the helper does, and says that the program failed. */
const spawn: Spawn = async (request) => {
  asked.push(allowedRequest(request, commands));
  const exited = Promise.resolve({ code: 1, signal: null, timedOut: false });
  const output = () => Readable.from([]);
  const stdin = new PassThrough().resume();
  return { uid: 0, stdin, stdout: output(), stderr: output(), exited, kill() {} };
};
/** Waits for the end of what had a program run, which ends with an error since no program ran. */
const failed = async (running: Promise<unknown>) => void (await running.catch(() => {}));
const refused = (request: SpawnRequest) =>
  expect(() => allowedRequest(request, commands), JSON.stringify(request.args)).toThrow();

describe('the helper runs', () => {
  it('every program that the agent asks for', async () => {
    const bytes = Readable.from([]);
    await failed(makeRepository(spawn, join(work, 'repository'), commit, { shallow: true, bytes }));
    const maker = diskMakerOf({ spawn, node, script }, 1_024);
    const binds = [insidePaths.archive, insidePaths.repository].map((target) => {
      return { source: work, target, mode: 'ro' as const };
    });
    const never = new AbortController().signal;
    await failed(maker.make({ type: 'image' }, binds, join(work, 'disk'), never));
    const cache = openFileCache({ directories: [], maxBytes: 0, onTrouble() {} }).open();
    const runtime = { source: node, target: sandboxNode };
    const memory = openFetchMemory(systemClock);
    const from = {
      ...{ spawn, registries: [], work, archives: work, cache, node: runtime, memory, onLine() {} },
    };
    await failed(fetchImage(from, 'example.com/image:1', {}, AbortSignal.timeout(10_000)));
    const upload = { file: 'index.scip', root: 'a', route: '/.executors/scip/upload', associatedIndexId: 1 };
    for (const indexer of [null, 'scip-typescript'])
      await failed(
        uploadIndex(
          {
            ...{ spawn, instanceUrl: 'https://fumehood.test', executorName: 'e', native: true },
            client: { node, script },
            log: { write: async () => {}, end: async () => {} },
            stopped: never,
          },
          { id: 1, repositoryName: 'acme/plain', commit },
          { ...upload, indexer, authorization: 'token-executor 01' },
          work,
        ),
      );
    const labels = asked.map(({ label }) => label);
    expect(labels.slice(0, 3)).toEqual(['git index-pack', 'the disk maker', 'skopeo inspect']);
    expect(labels.slice(3)).toEqual(['src code-intel upload', 'src code-intel upload']);
  });
});

describe('the helper refuses', () => {
  const git = (args: readonly string[]): SpawnRequest => ({ label: 'git', program: '/usr/bin/git', args });
  const onRepository = ['--git-dir', '/repository'];
  const list = [
    'index-pack',
    '--stdin',
    '--check-self-contained-and-connected',
    `--max-input-size=${packMax}`,
  ];

  it.each([
    [['-c', 'alias.x=!id', 'x']],
    [['-c', 'alias.index-pack=!id', ...onRepository, ...list]],
    [['-c', 'core.sshCommand=id', 'fetch', 'ssh://host/x']],
    [['--exec-path=/upload', ...onRepository, ...list]],
    [[...onRepository, 'fetch-pack', '--upload-pack=id', '.']],
    [[...onRepository, 'clone', 'ext::sh -c id']],
    [[...onRepository, 'index-pack', '--stdin', '-o', '/tmp/x', '--keep']],
    [[...onRepository, ...list, '--']],
    [['--git-dir', '/tmp/other', ...list]],
  ])('git with arguments that make it run another program, or read another repository: %j', (args) => {
    refused(git(args));
    expect(allowedRequest(git([...onRepository, ...list]), commands).args).toHaveLength(6);
  });

  it('a variable that changes what git runs', () => {
    const request = git([...onRepository, ...list]);
    for (const env of [{ GIT_EXEC_PATH: '/x' }, { GIT_CONFIG_KEY_0: 'alias.x' }, { GIT_SSH_COMMAND: 'id' }])
      refused({ ...request, env });
    expect(() => allowedRequest({ ...request, env: { GIT_CONFIG_COUNT: '1' } }, commands)).not.toThrow();
  });

  it('a script of the agent in the Node of the upload client', () => {
    const binds = [{ source: node, target: sandboxNode, mode: 'ro' as const }];
    for (const args of [['-e', 'process.exit()'], ['/upload/evil.mjs'], ['-r', '/upload/evil.mjs']])
      refused({ label: 'node', program: sandboxNode, args, binds });
  });

  it('another file in the place of Node, or Node in the place of another file', () => {
    const args = ['--max-old-space-size=64', '/opt/fumehood/disk-maker.mjs'];
    const request = { label: 'x', program: sandboxNode, args };
    const bind = (source: string, target: string, mode: 'ro' | 'rw' = 'ro') =>
      refused({ ...request, binds: [{ source, target, mode }] });
    bind(work, '/out', 'ro');
    bind(work, sandboxNode);
    bind(script, sandboxNode);
    bind(node, '/out', 'rw');
    bind(join(root, 'executor/..'), '/out', 'rw');
    const binds = [
      { source: node, target: sandboxNode, mode: 'ro' as const },
      { source: work, target: '/out', mode: 'rw' as const },
    ];
    expect(() => allowedRequest({ ...request, binds }, commands)).not.toThrow();
  });
});
