import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@fumehood/base';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { makeState } from '../state/make.ts';
import { markerName } from '../state/marker.ts';
import { openState } from '../state/state.ts';
import { stopAll } from '../up/down.ts';
import { clean } from './clean.ts';
import { readStatus } from './status.ts';

let root: string;
/** A state directory with files in some of its parts. */
let state: string;
let progress: string[];

const deps = (chosen: string) => ({
  state: openState({ FUMEHOOD_STATE: chosen }, 0),
  clock: systemClock,
  onProgress: (line: string) => void progress.push(line),
});
const cleanAll = async (chosen: string) => await clean(deps(chosen), true);
const filesIn = (directory: string) =>
  readdirSync(directory, { recursive: true, encoding: 'utf8' }).toSorted();
const refusal = (code: string) => expect.objectContaining({ code }) as Error;

/** Makes a directory with files under the names that a state directory has. */
function fill(directory: string): void {
  for (const name of ['images', 'run', 'executor/disks', 'executor/work']) {
    mkdirSync(join(directory, name), { recursive: true });
    writeFileSync(join(directory, name, 'file'), 'precious');
  }
}

beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'fumehood-clean-')));
  state = join(root, 'state');
  makeState(openState({ FUMEHOOD_STATE: state }, 0), false);
  fill(state);
  progress = [];
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(root, { recursive: true, force: true });
});

describe('clean --all', () => {
  it('removes a state directory, and names it before', async () => {
    writeFileSync(join(state, 'settings.json'), '{}');
    const removed = await cleanAll(state);
    expect(removed.map(({ name }) => name)).toContain('built container images');
    expect(progress).toEqual([`removing the state directory ${state}`]);
    expect(existsSync(state)).toBe(false);
    expect(await cleanAll(state)).toEqual([]);
  });

  it('and every other command refuse an empty variable, which would name the working directory', async () => {
    vi.spyOn(process, 'cwd').mockReturnValue(state);
    await expect(cleanAll('')).rejects.toThrow('FUMEHOOD_STATE is empty');
    expect(existsSync(join(state, 'run/file'))).toBe(true);
  });

  it('and clean and up leave a directory alone that Fumehood did not make; only its marker lets them in', async () => {
    const project = join(root, 'project');
    fill(project);
    writeFileSync(join(project, 'thesis.tex'), 'precious');
    const before = filesIn(project);
    for (const all of [true, false])
      await expect(clean(deps(project), all)).rejects.toThrow(refusal('state_foreign'));
    expect(() => makeState(deps(project).state, false)).toThrow(refusal('state_foreign'));
    expect(filesIn(project)).toEqual(before);
    expect(progress).toEqual([]);
    // With the marker, the same call removes the same files, but no others.
    copyFileSync(join(state, markerName), join(project, markerName));
    await cleanAll(project);
    expect(progress.at(-1)).toContain('thesis.tex');
    expect(filesIn(project)).toEqual(['thesis.tex']);
  });

  it('is refused from within the state directory, and not from beside it', async () => {
    const before = filesIn(state);
    const cwd = vi.spyOn(process, 'cwd');
    for (const [chosen, directory] of [
      ['.', state],
      ['..', join(state, 'run')],
      [state, join(state, 'run')],
    ] as const) {
      cwd.mockReturnValue(directory);
      await expect(cleanAll(chosen)).rejects.toThrow(`the working directory is in ${state}`);
    }
    expect(filesIn(state)).toEqual(before);
    cwd.mockReturnValue(`${state}-beside`);
    await cleanAll(state);
    expect(existsSync(state)).toBe(false);
  });
});

describe('an instance that runs', () => {
  let running: ChildProcess | null = null;
  afterEach(async () => {
    if (running && running.exitCode === null && running.signalCode === null) {
      running.kill('SIGKILL');
      await once(running, 'exit');
    }
  });

  /** Starts a process like an instance's helper, by this path of the state directory. */
  async function start(path: string): Promise<void> {
    mkdirSync(join(state, 'runtime/build'), { recursive: true });
    const script = 'runtime/build/instance-helper.mjs';
    writeFileSync(join(state, script), "setTimeout(() => {}, 60_000); console.log('ready')");
    running = spawn(process.execPath, [join(path, script)], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(running.stdout as NodeJS.ReadableStream, 'data');
    const address = { socket: join(state, 'socket'), url: 'http://127.0.0.1:1' };
    writeFileSync(join(state, 'run/instance.json'), JSON.stringify({ pid: running.pid, ...address }));
  }

  it.each([
    ['started by its path', 'state'],
    ['started through a symbolic link', 'link'],
  ])('%s is found by every spelling of its state directory', async (_, name) => {
    symlinkSync('state', join(root, 'link'));
    await start(join(root, name));
    for (const spelling of [state, `${state}/`, join(root, 'link'), `${root}/link/../state`]) {
      const { instance } = await readStatus(deps(spelling).state);
      expect(instance?.pid).toBe(running?.pid);
      await expect(cleanAll(spelling)).rejects.toThrow(refusal('still_running'));
    }
    expect(existsSync(join(state, 'run/file'))).toBe(true);
    const stopped = await stopAll({ ...deps(join(root, 'link')), drain: false });
    expect(stopped).toEqual(['instance']);
    await cleanAll(join(root, 'link'));
    expect(existsSync(state)).toBe(false);
  });
});
