import type { ChangesetRecord, CommentChangesets, MergeChangesets } from '@fumehood/protocol';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { makeProgram } from '../program.ts';

const id = (number: number) => number.toString(16).padStart(32, '0');
const changeset = (number: number, fields: Partial<ChangesetRecord>) =>
  ({ id: id(number), archivedAt: null, detachedAt: null, published: null, ...fields }) as ChangesetRecord;
const asked: { action: string; changesets: readonly string[]; publication?: unknown }[] = [];
let changesets: ChangesetRecord[];
const found = { id: id(0), namespace: 'ann', name: 'greet', state: 'open', description: '' };
vi.mock('../cli/context.ts', () => ({
  connect: async () => ({
    batches: {
      list: async () => [found],
      spec: async () => ({ state: 'completed' }),
      changesets: async () => changesets,
      async change(_: string, action: string, chosen: readonly string[]) {
        asked.push({ action, changesets: chosen });
        return found;
      },
      async apply(_: string, request: { publicationStates: unknown[] }) {
        asked.push({ action: 'apply', changesets: [], publication: request.publicationStates });
        return { ...found, changesets: {}, wavesStopped: null };
      },
      preview: async () => ({
        changesets: [
          { changesetSpec: id(1), headRef: 'refs/heads/greet', published: null },
          { changesetSpec: id(2), headRef: 'refs/heads/greet', published: true },
          { changesetSpec: id(3), headRef: null, published: null },
          { changesetSpec: null, headRef: 'refs/heads/greet', published: null },
        ],
      }),
      async merge(_: string, { squash, changesets }: MergeChangesets) {
        asked.push({ action: `merge ${squash}`, changesets });
        return found;
      },
      async comment(_: string, { body, changesets }: CommentChangesets) {
        asked.push({ action: body, changesets });
        return found;
      },
      async publish(_: string, request: { changesets: string[]; publication: unknown }) {
        asked.push({ action: 'publish', ...request });
        return found;
      },
    },
  }),
}));

let written = '';
beforeEach(() => {
  asked.length = 0;
  written = '';
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    written += String(text);
    return true;
  });
});
afterEach(() => vi.restoreAllMocks());
const batches = (...args: string[]) => makeProgram().parseAsync(['node', 'fumehood', 'batches', ...args]);

it('publish is about those that are not published and of which the batch spec says nothing', async () => {
  changesets = [
    changeset(1, { state: 'unpublished' }),
    changeset(2, { state: 'unpublished', published: false }),
    changeset(3, { state: 'open' }),
    changeset(4, { state: 'unpublished', archivedAt: 'now' }),
    changeset(5, { state: 'unpublished', detachedAt: 'now' }),
  ];
  await batches('publish', 'greet', '--draft');
  expect(asked).toEqual([{ action: 'publish', changesets: [id(1)], publication: 'draft' }]);
  expect(written).toContain('1 changeset of greet will be published');
});

it('reenqueue is about those that have failed or wait after a failure', async () => {
  changesets = [
    changeset(1, { state: 'failed' }),
    changeset(2, { state: 'retrying' }),
    changeset(3, { state: 'open' }),
  ];
  await batches('reenqueue', 'greet');
  expect(asked).toEqual([{ action: 'reenqueue', changesets: [id(1), id(2)] }]);
});

it('nothing is asked where there is nothing to do', async () => {
  changesets = [changeset(1, { state: 'open' })];
  await batches('publish', 'greet');
  expect(asked).toEqual([]);
  expect(written).toContain('0 changesets of greet will be published');
});

it.each(['archive', 'detach', 'close-changesets'])(
  '%s is about those that the user names, each once',
  async (action) => {
    await batches(action, 'greet', id(1), id(2), id(1));
    expect(asked).toEqual([{ action, changesets: [id(1), id(2)] }]);
  },
);

it('merge and comment say what they are asked', async () => {
  await batches('merge', 'greet', id(1), '--squash');
  await batches('merge', 'greet', id(1));
  await batches('comment', 'greet', id(1), id(2), '--body', 'Thanks!');
  expect(asked.map(({ action }) => action)).toEqual(['merge true', 'merge false', 'Thanks!']);
});

it('a request has at most 1,000 changesets', async () => {
  changesets = Array.from({ length: 1_001 }, (_, number) => changeset(number, { state: 'failed' }));
  await batches('reenqueue', 'greet');
  expect(asked.map((one) => one.changesets.length)).toEqual([1_000, 1]);
});

it('whoever applies what the batch spec leaves to users is told how it is published', async () => {
  const shown = { repository: 'acme/a', headRef: null, failure: null, externalUrl: null, commit: null };
  changesets = [
    changeset(1, { ...shown, state: 'unpublished' }),
    changeset(2, { ...shown, state: 'scheduled' }),
  ];
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  await batches('apply', id(9));
  expect(asked).toMatchObject([{ action: 'apply', publication: [] }]);
  expect(written).toContain('nothing is pushed of 1 changeset before `');
});

it.each([
  ['--publish', true],
  ['--draft', 'draft'],
])('apply %s is about those of which the batch spec says nothing', async (option, publication) => {
  changesets = [];
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  await batches('apply', id(9), option);
  expect(asked).toMatchObject([{ action: 'apply', publication: [{ changesetSpec: id(1), publication }] }]);
});
