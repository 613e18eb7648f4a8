import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { factsOf } from '@fumehood/base';
import type { Guest, GuestRecipe } from '@fumehood/microvm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestAgent } from '../../packages/executor/src/testing/test-agent.ts';
import { changedGuest } from './guest.ts';
import { attackProgram, type AttackedGuest, withGuest } from './vm.ts';
import { long } from '../long.ts';

/** Attacks by nothing but the paths and links of an image, which init walks before it executes anything of the step. */

let directory: string;
let program: ReturnType<typeof attackProgram>;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'fumehood-paths-'));
  program = attackProgram(directory);
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const descriptors = Array.from({ length: 20 }, (_, number) => number + 3);
/** Leads from any directory that init has open to init's own root. */
const up = '../../../..';

/** The paths of each kind that led out of the step's root. */
type Reached = Record<'workingDirectory' | 'link' | 'bind' | 'passwd' | 'artifact' | 'program', string[]>;

async function walkEverywhere(recipe?: GuestRecipe): Promise<Reached> {
  return withGuest([program], walkFrom, recipe);
}

async function walkFrom({ guest, attack }: AttackedGuest): Promise<Reached> {
  const reached: Reached = {
    workingDirectory: [],
    link: [],
    bind: [],
    passwd: [],
    artifact: [],
    program: [],
  };
  const passwd = 'run/fumehood/passwd';
  guest.file(`/${passwd}`, 'evil:x:7:7::/:\n');
  guest.file('/run/fumehood/empty', '');
  const links = [
    ...descriptors.map((fd) => [`/proc/self/fd/${fd}`, `/links/${fd}`]),
    ...[`/${passwd}`, `${up}/${passwd}`].map((to, at) => [to, `/links/passwd-${at}`]),
  ];
  const script = ['busybox mkdir /links', ...links.map(([to, link]) => `busybox ln -s ${to} ${link}`)];
  expect((await attack(['sh', '-c', script.join('\n')])).exit).toMatchObject({ reason: 'exit', code: 0 });
  for (const fd of descriptors) {
    const magic = `/proc/self/fd/${fd}`;
    if (await startsOutside(attack, magic)) reached.workingDirectory.push(magic);
    if (await startsOutside(attack, `/links/${fd}`)) reached.link.push(`/links/${fd}`);
    const target = `${magic}/${up}/run/made-${fd}`;
    await attack(['/attack'], { binds: [{ source: '/run/fumehood/empty', target, mode: 'rw' }] });
    if (await canCollect(guest, '/', `run/made-${fd}`)) reached.bind.push(target);
    await attack(['busybox', 'ln', '-sf', `${magic}/${up}/${passwd}`, '/etc/passwd']);
    const { exit } = await attack(['/attack'], { user: 'evil' });
    if (exit.reason !== 'start') reached.passwd.push(magic);
  }
  for (const path of ['links/passwd-0', 'links/passwd-1', `${up}/${passwd}`])
    if (await canCollect(guest, '/roots/0', path)) reached.artifact.push(path);
  // Where init's program can be executed, it waits until the deadline.
  await attack(['sh', '-c', 'echo "#!/proc/self/exe" > /script; busybox chmod +x /script']);
  for (const path of ['/proc/self/exe', '/script'])
    if ((await attack([path], { deadlineMs: 300 })).exit.reason !== 'start') reached.program.push(path);
  return reached;
}

/** Returns whether a step in this directory starts, and can open a disk of the VM, init's program or its own limits from there. */
async function startsOutside(attack: AttackedGuest['attack'], cwd: string): Promise<boolean> {
  const { exit, results } = await attack(['/attack', 'here'], { cwd });
  return exit.reason !== 'start' && results.get('reached from here') !== 'none';
}

let collected = 0;
/** Returns whether init sends this path of the guest, as a file or as an archive. */
async function canCollect(guest: Guest, root: string, path: string): Promise<boolean> {
  return (await canCollectAs('file', guest, root, path)) || canCollectAs('archive', guest, root, path);
}

async function canCollectAs(
  as: 'file' | 'archive',
  guest: Guest,
  root: string,
  path: string,
): Promise<boolean> {
  const id = `file-${(collected += 1)}`;
  const file = guest.collect({ id, root, uid: 0, gid: 0, path, as, maxBytes: 10_000 });
  return buffer(file).then(
    () => true,
    (error: unknown) => {
      expect(factsOf(error).code).toMatch(/^artifact_/);
      return false;
    },
  );
}

describe("paths of an image that lead to init's descriptors or out of the root", () => {
  test('reach nothing: as working directory, link, target of a bind, passwd file, artifact or program', async () => {
    const none = { workingDirectory: [], link: [], bind: [], passwd: [], artifact: [], program: [] };
    expect(await walkEverywhere()).toEqual(none);
  });

  test.runIf(long)(
    "reach init's root where init leaves its descriptors open and follows every link",
    async () => {
      const reached = await walkEverywhere(
        changedGuest(directory, [
          [
            'walk.c',
            '.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve',
            '.resolve = 0 * resolve',
          ],
          ['child.c', 'close_range(REPORT_FD + 1, ~0U, 0)', '0'],
          ['collect.c', 'chroot(root) || chdir("/")', 'chdir(root)'],
          ['boot.c', 'chmod("/init", 0);', 'chmod("/init", 0700);'],
        ]),
      );
      for (const [kind, paths] of Object.entries(reached)) expect(paths, kind).not.toEqual([]);
    },
  );
});

test("an image whose working directory is a descriptor of init does not start, and the job's record says why", async () => {
  const agent = await TestAgent.start();
  try {
    const image = await agent.putImage('paths', { workingDir: '/proc/self/fd/18', cmd: ['true'] });
    const mark = await agent.run({ dockerSteps: [{ image }] });
    expect(mark).toMatchObject({ operation: 'markFailed', reason: 'step_not_started' });
    expect(mark.errorMessage).toContain('working directory /proc/self/fd/18');
  } finally {
    await agent.stop();
  }
});
