import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { localSpawn } from '@fumehood/base';
import { canLimit } from '@fumehood/microvm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { programGroups } from '../helper/program-groups.ts';
import { bundledDiskMaker } from '../testing/disk-maker.ts';
import { hostileImage } from '../testing/hostile-image.ts';
import { diskMakerOf } from './make-disk.ts';
import { insidePaths } from './messages.ts';

const identity = process.getuid?.() === 0 ? { uid: 1_900_000_002, gid: process.getgid?.() ?? 0 } : null;
const spawn = localSpawn(identity);
const hasCgroups = await canLimit();
const never = new AbortController().signal;
const nothing = { commit: null, directory: '', sparse: [], files: [], archive: false };
const files = { type: 'workspace' as const, ...nothing };

let root: string;
let disks: string;
let archive: string;
let programs: { node: string; script: string };
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-disk-maker-'));
  await chmod(root, 0o711);
  disks = join(root, 'disks');
  mkdirSync(disks, { mode: 0o710 });
  programs = await bundledDiskMaker(root);
  archive = join(root, 'image.tar');
  await hostileImage(archive, 5_000);
});
afterAll(() => rm(root, { recursive: true, force: true }));

const bind = () => ({ source: archive, target: insidePaths.archive, mode: 'ro' as const });
const running = () =>
  execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line.includes(root));

describe('a disk maker', () => {
  it('is killed with everything that it started when its job is stopped, and leaves nothing', async () => {
    const stop = new AbortController();
    const made = diskMakerOf({ spawn, ...programs }, 256).make(
      { type: 'image' },
      [bind()],
      join(disks, 'a'),
      stop.signal,
    );
    await expect.poll(() => running().length).toBeGreaterThan(0);
    stop.abort(new Error('the job was canceled'));
    await expect(made).rejects.toThrow('the job was canceled');
    await expect.poll(running).toEqual([]);
    expect(await readdir(disks)).toEqual([]);
  });

  it('that needs more memory than its job has ends, with the reason', async () => {
    const made = diskMakerOf({ spawn, ...programs }, 256, 8).make(
      { type: 'image' },
      [bind()],
      join(disks, 'a'),
      never,
    );
    await expect(made).rejects.toMatchObject({
      code: 'disk_needs_memory',
      message: expect.stringContaining('256 MiB') as string,
    });
  });

  it('makes a disk of the tools of this host, and of nothing else', async () => {
    const file = join(disks, 'tools');
    await diskMakerOf({ spawn, ...programs }, 256).make({ type: 'tools' }, [], file, never);
    const listed = execFileSync('unsquashfs', ['-ls', '-d', '', file], { encoding: 'utf8' }).split('\n');
    expect(listed).toEqual(expect.arrayContaining(['/tools/git', '/tools/dd', '/tools/bin/git']));
    expect(listed.filter((path) => /\/(etc|bin|usr)$/.test(path))).toEqual(['/tools/bin']);
    await rm(file);
  });

  it('makes one disk of a job after the other', async () => {
    let most = 0;
    let now = 0;
    const maker = diskMakerOf(
      {
        spawn: async (request) => {
          most = Math.max(most, ++now);
          const process = await spawn(request);
          void process.exited.then(() => (now -= 1));
          return process;
        },
        ...programs,
      },
      256,
    );
    await Promise.all(['b', 'c'].map((name) => maker.make(files, [], join(disks, name), never)));
    expect(most).toBe(1);
    expect((await readdir(disks)).sort()).toEqual(['b', 'c']);
  });
});

describe('a disk maker that was taken over', () => {
  const takenOver = (code: string, run = spawn) => {
    const script = join(root, 'taken-over.mjs');
    writeFileSync(script, code);
    const maker = diskMakerOf({ spawn: run, node: programs.node, script }, 256);
    return maker.make(files, [], join(disks, 'd'), never);
  };
  const answer = (value: object) => `process.stdout.write(${JSON.stringify(JSON.stringify(value))});`;

  it.each([
    ['ends the lease of its job', answer({ type: 'failed', error: { code: 'lease_lost', message: '' } })],
    [
      'sends endless bytes',
      `import { writeSync } from 'node:fs'; for (;;) try { writeSync(1, 'x'.repeat(1e5)); } catch {}`,
    ],
    ['leaves no disk', answer({ type: 'workspace', files: 1 })],
    [
      'leaves a link to a file of the host',
      `import { symlinkSync } from 'node:fs'; symlinkSync('/etc/passwd', '/out/disk');
       ${answer({ type: 'workspace', files: 1 })}`,
    ],
    [
      'leaves a pipe, which nobody ever writes',
      `import { execFileSync } from 'node:child_process'; execFileSync('mkfifo', ['/out/disk']);
       ${answer({ type: 'workspace', files: 1 })}`,
    ],
  ])('gives no disk and no other error when it %s', async (_what, code) => {
    await expect(takenOver(code)).rejects.toMatchObject({
      code: expect.stringMatching(/^(output_refused|disk_invalid|too_big)$/) as string,
    });
    expect(existsSync(join(disks, 'd'))).toBe(false);
  });

  it.skipIf(!hasCgroups)('gets no more memory than its job has, all of its processes together', async () => {
    const grow = 'for (const held = []; ; ) held.push(Buffer.alloc(2 ** 26, 1));';
    const script = `import { spawn } from 'node:child_process';
      for (let i = 0; i < 3; i++) spawn(process.execPath, ['-e', ${JSON.stringify(grow)}]);
      ${grow}`;
    const group = programGroups(root);
    await expect(takenOver(script, localSpawn(identity, group))).rejects.toMatchObject({
      code: 'disk_needs_memory',
    });
    expect(existsSync(join(disks, 'd'))).toBe(false);
  });
});
