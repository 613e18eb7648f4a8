import { stripVTControlCharacters } from 'node:util';
import type { WorkspaceRecord } from '@fumehood/protocol';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { lineView, terminalView } from './views.ts';

/** Would write into the clipboard of the terminal, and turn text around. */
const evil = 'x\x1b]52;c;aGVsbG8=\x07\u202e';
const workspace: WorkspaceRecord = {
  ...{ id: 'a', repository: 'acme/payments', branch: 'refs/heads/main', commit: '', path: '', jobId: 1 },
  ...{ onlyFetchWorkspace: false, ignored: false, unsupported: false, state: 'queued', reason: null },
  ...{ stepCount: 3, steps: [], queuedAt: null, startedAt: null, finishedAt: null },
};
const step = { step: 1, state: 'processing', startedAt: null, finishedAt: null, stat: null } as const;
const stat = { files: 2, addedLines: 5, deletedLines: 1 };
const second: WorkspaceRecord = { ...workspace, state: 'processing', steps: [step] };
const completed: WorkspaceRecord = {
  ...workspace,
  state: 'completed',
  steps: [{ ...step, state: 'completed', stat }],
};
const failed: WorkspaceRecord = { ...workspace, id: 'b', repository: evil, state: 'failed', reason: evil };

let written = '';
beforeEach(() => {
  written = '';
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    written += String(text);
    return true;
  });
});
afterEach(() => vi.restoreAllMocks());

it('lines say each step once, and how it ended', () => {
  const view = lineView();
  for (const one of [workspace, second, second, completed, failed]) view.onWorkspace(one);
  expect(written.split('\n').slice(0, 3)).toEqual([
    'acme/payments (main): queued',
    'acme/payments (main): step 2 of 3',
    'acme/payments (main): completed, 2 files +5 -1',
  ]);
  expect(written).not.toContain('\x1b');
  expect(written).not.toContain('\u202e');
});

it('a terminal shows how workspaces end, and what others named does not act on it', async () => {
  const view = await terminalView();
  for (const one of [workspace, second, completed, failed]) view.onWorkspace(one);
  await view.end();
  const plain = stripVTControlCharacters(written);
  expect(plain).toContain('acme/payments (main): completed, 2 files +5 -1');
  expect(plain).toContain('failed');
  expect(written).not.toContain('\x1b]52');
  expect(written).not.toContain('\u202e');
});

it('a workspace that goes on when nobody looks any more is left as it is', async () => {
  const view = await terminalView();
  view.onWorkspace(second);
  await view.end();
  expect(stripVTControlCharacters(written)).toContain('acme/payments (main): it goes on');
});
