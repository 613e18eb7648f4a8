import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { FumehoodError } from '@fumehood/base';
import type { Guest } from '@fumehood/microvm';
import { artifactBytesMax } from '@fumehood/protocol';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { deadlinePassed, leaseLost, stepFailed } from '../../errors.ts';
import { isEndOfCommand, takeArtifacts } from './artifacts.ts';

type CollectRequest = Parameters<Guest['collect']>[0];

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-artifacts-'));
});
afterEach(() => rmSync(root, { recursive: true }));

/** A guest that has these paths; of every other it sends this error. */
function guestWith(files: Readonly<Record<string, string>>, code = 'artifact_missing') {
  const requests: CollectRequest[] = [];
  const collect = (request: CollectRequest) => {
    requests.push(request);
    const content = files[request.path];
    if (content !== undefined) return Readable.from([Buffer.from(content)]);
    return new Readable({
      read() {
        this.destroy(new FumehoodError({ code, message: `${request.path} is not there` }));
      },
    });
  };
  return { guest: { collect }, requests };
}
async function take(files: Readonly<Record<string, string>>, paths: readonly string[], code?: string) {
  const { guest, requests } = guestWith(files, code);
  const lines: string[] = [];
  const log = {
    write: async (stream: string, bytes: Uint8Array) => void lines.push(`${stream} ${String(bytes).trim()}`),
    end: async () => {},
  };
  const result = await takeArtifacts(guest, paths, join(root, 'out'), log, (_path, work) => work);
  return { ...result, requests, lines };
}

it('every path is taken as an archive, and the limit of bytes is for all of them together', async () => {
  const { taken, failure, requests } = await take({ a: 'four', 'b/c': 'x' }, ['a', 'b/c']);
  expect(failure).toBeNull();
  expect(taken.map(({ path, bytes, file }) => [path, bytes, readFileSync(file, 'utf8')])).toEqual([
    ['a', 4, 'four'],
    ['b/c', 1, 'x'],
  ]);
  expect(requests.map(({ as, maxBytes }) => [as, maxBytes])).toEqual([
    ['archive', artifactBytesMax],
    ['archive', artifactBytesMax - 4],
  ]);
});

it('a path that is missing does not keep back the others, and is the failure', async () => {
  const { taken, failure, lines } = await take({ b: 'b' }, ['a', 'b', 'c']);
  expect(taken.map(({ path }) => path)).toEqual(['b']);
  expect(failure).toMatchObject({ code: 'artifact_missing', message: 'a is not there' });
  expect(lines).toEqual([
    'stderr a is not there',
    'stdout took b out of the workspace: 1 bytes',
    'stderr c is not there',
  ]);
});

it('a guest that breaks the protocol ends it', async () => {
  await expect(take({}, ['a'], 'guest_protocol')).rejects.toMatchObject({ code: 'guest_protocol' });
});

it('something is brought back after a command that failed, but not after a lost lease', () => {
  expect(isEndOfCommand(stepFailed('0', 1, ''))).toBe(true);
  expect(isEndOfCommand(deadlinePassed('0', 1))).toBe(true);
  expect(isEndOfCommand(leaseLost('x'))).toBe(false);
});
