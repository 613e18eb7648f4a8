import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, utimesSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';

const command = resolve(import.meta.dirname, '../bin/fumehood.mjs');
const commands = ['run', 'demo', 'tokens', 'users', 'executors', 'up', 'down', 'status', 'clean', 'doctor'];

let root: string;
let state: string;

/** Runs the command with a state directory that does not exist yet. */
function fumehood(...args: string[]) {
  return spawnSync(process.execPath, [command, ...args], {
    encoding: 'utf8',
    cwd: root,
    env: { PATH: process.env.PATH, HOME: root, FUMEHOOD_STATE: state },
    timeout: 20_000, // far longer than a refusal takes, and far shorter than a start of anything
  });
}

/** Runs a command that is refused, with a line on what is wrong and a line on what to do. Returns both lines. */
function refusal(...args: string[]): string {
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

describe('without making or starting anything', () => {
  afterEach(() => {
    expect(existsSync(state)).toBe(false);
  });

  it('--version prints the version', () => {
    const manifest = readFileSync(resolve(import.meta.dirname, '../package.json'), 'utf8');
    const { version } = JSON.parse(manifest) as { version: string };
    expect(fumehood('--version')).toMatchObject({ status: 0, stdout: `${version}\n`, stderr: '' });
  });

  it('--help lists the commands', () => {
    const { status, stdout, stderr } = fumehood('--help');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const name of commands) expect(stdout).toMatch(new RegExp(`^ {2}${name} `, 'm'));
  });

  it('a command line without a command prints the help', () => {
    const { status, stdout, stderr } = fumehood();
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^Usage: fumehood /);
  });

  it.each([
    ['an unknown command', ['frobnicate'], "unknown command 'frobnicate'"],
    ['an unknown option', ['--frobnicate'], "unknown option '--frobnicate'"],
    ['a surplus argument', ['up', 'frobnicate'], 'frobnicate'],
    ['a timeout of 0', ['run', '--timeout', '0', 'x'], 'from 1 to 86400'],
    ['a word instead of a number', ['run', '--memory', 'abc', 'x'], 'from 128 to 1048576'],
  ])('%s is refused', (_, args, expected) => {
    expect(refusal(...args)).toContain(expected);
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
      const text = refusal(...args);
      expect(text).toContain(`${closed} (mode 0700, owned by uid 0)`);
      expect(text).toContain(`chmod o+x ${closed}`);
    });

    it('is reported by doctor, in the same words', () => {
      const { status, stdout } = fumehood('doctor');
      expect(status).toBe(1);
      expect(stdout).toContain(`${closed} (mode 0700, owned by uid 0)`);
      expect(stdout).toContain(`chmod o+x ${closed}`);
    });

    it('is not made by a command that only reads', () => {
      expect(fumehood('status').status).toBe(0);
      expect(fumehood('jobs', 'list').status).toBe(1);
    });
  });

  it('a user without an account is refused with what to do, and needs none to read', () => {
    // In a user namespace of its own, this user has another uid, which no file knows.
    const asNobody = (...args: string[]) =>
      spawnSync('unshare', ['--user', '--map-user=54321', process.execPath, command, ...args], {
        encoding: 'utf8',
        cwd: '/',
        env: { PATH: process.env.PATH, FUMEHOOD_STATE: state },
      });
    const up = asNobody('up');
    expect(up.stderr).toMatch(/^fumehood: the uid 54321, [^\n]+\n {2}[^\n]*useradd --uid 54321[^\n]*\n$/);
    expect(up.status).toBe(2);
    expect(asNobody('doctor').stdout).toContain('✗ account: the uid 54321');
    expect(asNobody('status').status).toBe(0);
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

    it('that does not exist, or is only a directory, is refused', () => {
      expect(refusal('demo', '--repo', '/nonexistent')).toContain('/nonexistent: there is no such directory');
      expect(refusal('demo', '--repo', 'plain')).toContain('plain: this is not a git repository');
    });

    it('without the commit or the directory is refused', () => {
      git('add', '-A');
      git('commit', '-qm', 'first');
      const demo = (...args: string[]) => refusal('demo', '--repo', 'repository', ...args);
      expect(demo('--commit', 'nowhere')).toContain('it has no commit nowhere');
      expect(demo('--root', 'nowhere')).toContain('has no directory nowhere');
      expect(demo('--root', 'below/../..')).toContain('leads out of the repository');
    });
  });

  describe('an image', () => {
    /** Makes a layout without layers: only its metadata is read before anything is started. */
    async function makeLayout(name: string, architecture: string): Promise<void> {
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

    it('in none of the accepted forms is refused', () => {
      expect(refusal('run', 'debian')).toContain(
        'debian is not an image: `fumehood run` takes a file, an image of a registry, or the name of one that comes with Fumehood',
      );
    });

    it('that does not exist is refused', async () => {
      await mkdir(join(root, 'no-layout'));
      expect(refusal('run', 'docker-archive:nothing.tar')).toContain('nothing.tar is not a file');
      expect(refusal('run', 'oci:no-layout')).toContain('no-layout is not an OCI layout');
    });

    it('that is a file of another kind is refused', async () => {
      await writeFile(join(root, 'text.tar'), 'this is no archive');
      expect(refusal('run', 'docker-archive:text.tar')).toContain('the archive cannot be read');
    });

    it('that is missing in the layout is refused', async () => {
      await makeLayout('layout', 'amd64');
      expect(refusal('run', 'oci:layout:v1')).toContain('the layout has no image v1');
    });

    it('for another architecture is refused, in a layout and in an archive', async () => {
      await makeLayout('arm', 'arm64');
      execFileSync('tar', ['-C', join(root, 'arm'), '-cf', join(root, 'arm.tar'), '.']);
      for (const image of ['oci:arm', 'docker-archive:arm.tar'])
        expect(refusal('run', image, '--', 'true')).toContain('it is for linux/arm64');
    });
  });
});

it('names commands that can be typed: by the path of the checkout where neither the shell nor npx finds them', () => {
  const path = resolve(import.meta.dirname, '../../../node_modules/.bin/fumehood');
  const PATH = (process.env.PATH ?? '').split(':').filter((one) => !one.endsWith('/node_modules/.bin'));
  const env = { PATH: PATH.join(':'), HOME: root, FUMEHOOD_STATE: state };
  const call = (...args: string[]) => spawnSync(path, args, { encoding: 'utf8', cwd: root, env });
  expect(call('status').stdout).toContain(`not running: \`${path} up\` starts it`);
  expect(call('jobs', 'list').stderr).toContain(`Start one with \`${path} up\``);
});

describe('the bundle that commands start from', () => {
  const bundle = resolve(
    import.meta.dirname,
    '../../../node_modules/.cache/fumehood/command-line/bundle.json',
  );
  const directory = () => (JSON.parse(readFileSync(bundle, 'utf8')) as { directory: string }).directory;

  it('is made again when a source has changed, and only then', () => {
    expect(fumehood('--help').status).toBe(0);
    const first = directory();
    expect(fumehood('--help').status).toBe(0);
    expect(directory()).toBe(first);
    const source = resolve(import.meta.dirname, 'version.ts');
    const { atime, mtime } = statSync(source);
    utimesSync(source, atime, new Date(mtime.getTime() + 1_000));
    expect(fumehood('--help').status).toBe(0);
    utimesSync(source, atime, mtime);
    expect(directory()).not.toBe(first);
  });

  it('of another checkout is not used, as after a copy of the directory', async () => {
    fumehood('--help'); // makes a current one
    const own = readFileSync(bundle, 'utf8');
    const other = join(root, 'bundle-other');
    await mkdir(other);
    await writeFile(join(other, 'main.mjs'), 'process.exit(7);');
    await writeFile(bundle, JSON.stringify({ ...(JSON.parse(own) as object), directory: other }));
    expect(fumehood('--help').status).toBe(0);
    expect(directory()).not.toBe(other);
  });
});

describe('if nothing is running', () => {
  it('status says so', () => {
    const { status, stdout } = fumehood('status');
    expect(status).toBe(0);
    expect(stdout).toContain('not running: `fumehood up` starts it');
    expect(JSON.parse(fumehood('status', '--json').stdout)).toMatchObject({ instance: null, executor: null });
  });

  it('down and clean find nothing to do', () => {
    expect(fumehood('down')).toMatchObject({ status: 0, stderr: 'nothing was running\n' });
    expect(fumehood('clean')).toMatchObject({ status: 0, stdout: 'there was nothing to remove\n' });
  });
});

it('makes what other users need readable for them, also under a umask of 077', async () => {
  const directory = join(root, 'umask');
  await mkdir(directory);
  // Invalid settings stop `up` after it has built the programs, and before it starts them.
  await writeFile(join(directory, 'settings.json'), '{');
  const script = 'umask 077; exec "$0" "$@"';
  const { stderr } = spawnSync('sh', ['-c', script, process.execPath, command, 'up'], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, HOME: root, FUMEHOOD_STATE: directory },
  });
  expect(stderr).toContain('settings.json is not valid');
  const runtime = join(directory, 'runtime');
  const closed = readdirSync(runtime, { recursive: true, withFileTypes: true }).filter((entry) => {
    const { mode } = statSync(join(entry.parentPath, entry.name));
    return (mode & 0o004) === 0;
  });
  expect(statSync(runtime).mode & 0o777).toBe(0o755);
  expect(closed.map(({ name }) => name)).toEqual([]);
});
