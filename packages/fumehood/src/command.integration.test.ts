import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

const command = resolve(import.meta.dirname, '../bin/fumehood.mjs');
const commands = ['run', 'demo', 'tokens', 'users', 'executors', 'up', 'down', 'status', 'clean', 'doctor'];

let root: string;
let state: string;

/** The command as it is typed, with a state directory that is not there yet. */
function fumehood(...args: string[]) {
  return spawnSync(process.execPath, [command, ...args], {
    encoding: 'utf8',
    cwd: root,
    env: { PATH: process.env.PATH, HOME: root, FUMEHOOD_STATE: state },
    timeout: 20_000, // far more than it takes, and far less than a start of anything
  });
}

/** What a mistake is told with: a line that says what is wrong, and one that says what to do. */
function mistake(...args: string[]): string {
  const { status, stdout, stderr } = fumehood(...args);
  expect(stderr).toMatch(/^fumehood: [^\n]+\n {2}[^\n]+\n$/);
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
  return stderr;
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'fumehood-command-'));
  await chmod(root, 0o755);
  state = join(root, 'state');
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe('without anything being made or started', () => {
  afterEach(() => {
    expect(existsSync(state)).toBe(false);
  });

  it('the version is told', () => {
    const manifest = readFileSync(resolve(import.meta.dirname, '../package.json'), 'utf8');
    const { version } = JSON.parse(manifest) as { version: string };
    expect(fumehood('--version')).toMatchObject({ status: 0, stdout: `${version}\n`, stderr: '' });
  });

  it('help is given on everything', () => {
    const { status, stdout, stderr } = fumehood('--help');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const name of commands) expect(stdout).toMatch(new RegExp(`^ {2}${name} `, 'm'));
  });

  it('a command line without a command is answered with what there is', () => {
    const { status, stdout, stderr } = fumehood();
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^Usage: fumehood /);
  });

  it.each([
    ['an unknown command', ['frobnicate'], "unknown command 'frobnicate'"],
    ['an unknown option', ['--frobnicate'], "unknown option '--frobnicate'"],
    ['an argument too many', ['up', 'frobnicate'], 'frobnicate'],
    ['no time at all', ['run', '--timeout', '0', 'x'], 'from 1 to 86400'],
    ['a word for a number', ['run', '--memory', 'abc', 'x'], 'from 128 to 1048576'],
  ])('%s is a mistake', (_what, args, told) => {
    expect(mistake(...args)).toContain(told);
  });

  /** Root starts processes as other users, who could not reach a state directory there. */
  describe.skipIf(process.getuid?.() !== 0)('a state directory below a closed directory', () => {
    let closed: string;
    beforeAll(async () => {
      closed = join(root, 'closed');
      await mkdir(closed, { mode: 0o700 });
      state = join(closed, 'inner/state');
    });
    afterEach(async () => {
      expect(await readdir(closed)).toEqual([]);
    });
    afterAll(() => {
      state = join(root, 'state');
    });

    it.each([
      ['up', ['up']],
      ['run', ['run', 'scip-typescript', '--', 'true']],
    ])('is refused by %s, with the directory and how to open it', (_, args) => {
      const said = mistake(...args);
      expect(said).toContain(`${closed} (mode 0700, owned by uid 0)`);
      expect(said).toContain(`chmod o+x ${closed}`);
    });

    it('is found by doctor, with the same words', () => {
      const { status, stdout } = fumehood('doctor');
      expect(status).toBe(1);
      expect(stdout).toContain(`${closed} (mode 0700, owned by uid 0)`);
      expect(stdout).toContain(`chmod o+x ${closed}`);
    });

    it('is not made by a command that only looks', () => {
      expect(fumehood('status').status).toBe(0);
      expect(fumehood('jobs', 'list').status).toBe(1);
    });
  });

  describe('a repository', () => {
    const git = (...args: string[]) =>
      execFileSync('git', [
        '-C',
        join(root, 'repository'),
        '-c',
        'user.name=t',
        '-c',
        'user.email=t@t',
        ...args,
      ]);

    beforeAll(async () => {
      for (const name of ['plain', 'repository/below']) await mkdir(join(root, name), { recursive: true });
      await writeFile(join(root, 'repository/below/file'), 'x');
      git('init', '-q');
    });

    it('that is not there, or is none, is a mistake', () => {
      expect(mistake('demo', '--repo', '/nonexistent')).toContain('/nonexistent: there is no such directory');
      expect(mistake('demo', '--repo', 'plain')).toContain('plain: this is not a git repository');
    });

    it('without the commit or the directory is a mistake', () => {
      git('add', '-A');
      git('commit', '-qm', 'first');
      const demo = (...args: string[]) => mistake('demo', '--repo', 'repository', ...args);
      expect(demo('--commit', 'nowhere')).toContain('it has no commit nowhere');
      expect(demo('--root', 'nowhere')).toContain('has no directory nowhere');
      expect(demo('--root', 'below/../..')).toContain('leads out of the repository');
    });
  });

  describe('an image', () => {
    /** A layout without layers: as much as is looked at before anything is started. */
    async function layout(name: string, architecture: string): Promise<void> {
      const directory = join(root, name);
      await mkdir(join(directory, 'blobs/sha256'), { recursive: true });
      const blob = async (value: object) => {
        const text = JSON.stringify(value);
        const hex = createHash('sha256').update(text).digest('hex');
        await writeFile(join(directory, 'blobs/sha256', hex), text);
        return { digest: `sha256:${hex}`, size: text.length };
      };
      const config = await blob({ os: 'linux', architecture });
      const manifests = [await blob({ config, layers: [] })];
      await writeFile(join(directory, 'index.json'), JSON.stringify({ manifests }));
    }

    it('that is in none of the forms is a mistake', () => {
      expect(mistake('run', 'debian:12')).toContain(
        'debian:12 is not an image: there is no registry client yet',
      );
    });

    it('that is not there is a mistake', async () => {
      await mkdir(join(root, 'no-layout'));
      expect(mistake('run', 'docker-archive:nothing.tar')).toContain('nothing.tar is no file');
      expect(mistake('run', 'oci:no-layout')).toContain('no-layout is no OCI layout');
    });

    it('that is a file of another kind is a mistake', async () => {
      await writeFile(join(root, 'text.tar'), 'this is no archive');
      expect(mistake('run', 'docker-archive:text.tar')).toContain('the archive cannot be read');
    });

    it('that is not in the layout is a mistake', async () => {
      await layout('layout', 'amd64');
      expect(mistake('run', 'oci:layout:v1')).toContain('the layout has no image v1');
    });

    it('for another kind of machine is a mistake, in a directory and in an archive', async () => {
      await layout('arm', 'arm64');
      execFileSync('tar', ['-C', join(root, 'arm'), '-cf', join(root, 'arm.tar'), '.']);
      for (const image of ['oci:arm', 'docker-archive:arm.tar'])
        expect(mistake('run', image, '--', 'true')).toContain('it is for linux/arm64');
    });
  });
});

describe('where nothing runs', () => {
  it('status says so', () => {
    const { status, stdout } = fumehood('status');
    expect(status).toBe(0);
    expect(stdout).toContain('not running: `fumehood up` starts it');
    expect(JSON.parse(fumehood('status', '--json').stdout)).toMatchObject({ instance: null, executor: null });
  });

  it('there is nothing to stop and nothing to remove', () => {
    expect(fumehood('down')).toMatchObject({ status: 0, stderr: 'nothing was running\n' });
    expect(fumehood('clean')).toMatchObject({ status: 0, stdout: 'there was nothing to remove\n' });
  });
});
