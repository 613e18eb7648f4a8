import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isMarked, markerName, markState } from './marker.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'fumehood-marker-'));
});
afterEach(() => rmSync(root, { recursive: true }));

describe('the marker of a state directory', () => {
  it('is made in an empty directory, also when a crash cut it off, and stays', () => {
    writeFileSync(join(root, markerName), '');
    expect(isMarked({ root })).toBe(false);
    markState({ root });
    writeFileSync(join(root, 'lock'), '');
    markState({ root });
    expect(isMarked({ root })).toBe(true);
  });

  it('is made beside what an admin puts into a new state directory, and what a new disk holds', () => {
    writeFileSync(join(root, 'settings.json'), '{}');
    mkdirSync(join(root, 'lost+found'));
    writeFileSync(join(root, 'lock'), '');
    markState({ root });
    expect(isMarked({ root })).toBe(true);
  });

  it('is not made where other files are, not even those that a state directory has', () => {
    mkdirSync(join(root, 'images'));
    expect(() => markState({ root })).toThrow(expect.objectContaining({ code: 'state_foreign' }) as Error);
    expect(readdirSync(root)).toEqual(['images']);
  });

  it('is no link, and no file that happens to have its name', () => {
    writeFileSync(join(root, markerName), 'notes\n');
    expect(isMarked({ root })).toBe(false);
    rmSync(join(root, markerName));
    const other = mkdtempSync(join(tmpdir(), 'fumehood-marker-'));
    markState({ root: other });
    symlinkSync(join(other, markerName), join(root, markerName));
    expect(isMarked({ root })).toBe(false);
    rmSync(other, { recursive: true });
  });
});
