import { chmodSync, chownSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { provenSocket, trustedUids, untrustedPart } from './ownership.ts';

const isRoot = process.getuid?.() === 0;
const stranger = 65_534;

let root: string;
/** Made by a trusted user, for its service. */
let directory: string;

beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'fumehood-ownership-')));
  directory = join(root, 'run/instance');
  mkdirSync(directory, { recursive: true });
});
afterEach(() => rmSync(root, { recursive: true }));

const socket = () => join(directory, 'socket');
const refusal = () => {
  try {
    return provenSocket(socket());
  } catch (error) {
    return (error as { code: string }).code;
  }
};

describe('a socket is proved', () => {
  it('by its path alone: it need not exist', () => {
    expect(provenSocket(socket())).toBe(socket());
  });

  it.runIf(isRoot)('when its directory belongs to the user that a trusted user gave it to', () => {
    chownSync(directory, stranger, stranger);
    expect(provenSocket(socket())).toBe(socket());
  });

  it('at its real path, so that a link that changes later changes nothing', () => {
    symlinkSync(join(root, 'run'), join(root, 'link'));
    expect(provenSocket(join(root, 'link/instance/socket'))).toBe(socket());
  });
});

describe('a socket is refused', () => {
  it.each([0o1777, 0o775, 0o757])('when others can write to its directory (mode %o)', (mode) => {
    chmodSync(directory, mode);
    expect(refusal()).toBe('instance_unproved');
  });

  it.each([0o1777, 0o775, 0o757])('when others can replace its directory (mode %o)', (mode) => {
    chmodSync(join(root, 'run'), mode);
    expect(refusal()).toBe('instance_unproved');
  });

  it.runIf(isRoot)('when a user that is not trusted owns something above its directory', () => {
    chownSync(join(root, 'run'), stranger, stranger);
    expect(refusal()).toBe('instance_unproved');
    expect(provenSocket(socket(), [...trustedUids(), stranger])).toBe(socket());
  });

  it.runIf(isRoot)('when a link leads to a directory of somebody else', () => {
    mkdirSync(join(root, 'theirs/instance'), { recursive: true });
    chownSync(join(root, 'theirs'), stranger, stranger);
    rmSync(join(root, 'run'), { recursive: true });
    symlinkSync(join(root, 'theirs'), join(root, 'run'));
    expect(refusal()).toBe('instance_unproved');
  });
});

describe('a path that nobody else can change', () => {
  it('may go through a directory in which everybody owns what is theirs', () => {
    chmodSync(join(root, 'run'), 0o1777);
    expect(untrustedPart(directory, trustedUids())).toBeNull();
  });

  it('must not go through a directory in which others can rename', () => {
    chmodSync(join(root, 'run'), 0o777);
    expect(untrustedPart(directory, trustedUids())).toBe(join(root, 'run'));
  });
});
