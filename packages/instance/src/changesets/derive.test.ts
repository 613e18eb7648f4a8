import { parseBatchSpec } from '@fumehood/batch-spec';
import { describe, expect, it } from 'vitest';
import { deriveChangesets, type WorkspaceResult } from './derive.ts';

const added = (name: string) =>
  `diff --git ${name} ${name}\nnew file mode 100644\nindex 0000000..2222222\n--- /dev/null\n+++ ${name}\n@@ -0,0 +1 @@\n+a\n`;
const spec = (more: object = {}, template: object = {}) =>
  parseBatchSpec(
    JSON.stringify({
      name: 'tidy',
      steps: [{ run: 'true', container: 'alpine' }],
      changesetTemplate: {
        title: ' ${{ batch_change.name }} in ${{ repository.name }} ',
        body: '${{ join steps.added_files ", " }} ${{ outputs.line }} ${{ batch_change_link }}',
        branch: 'tidy/${{ steps.path }}',
        commit: { message: 'Tidy ${{ repository.branch }}' },
        ...template,
      },
      ...more,
    }),
  );
const result = (more: Partial<WorkspaceResult> = {}): WorkspaceResult => ({
  ...{ repository: 'acme/api', branch: 'refs/heads/main', path: 'web', fileMatches: [] },
  changes: { modified: [], added: ['web/a', 'docs/b'], deleted: [], renamed: [] },
  outputs: { line: 'said' },
  isHosted: false,
  diff: Buffer.from(added('web/a') + added('docs/b')),
  ...more,
});

describe('deriveChangesets', () => {
  it('renders the template, and has the creator as the author', () => {
    expect(deriveChangesets(spec(), 'ann', result())).toMatchObject([
      {
        ...{ headRef: 'refs/heads/tidy/web', title: 'tidy in acme/api', message: 'Tidy main' },
        body: 'web/a, docs/b said ${{ batch_change_link }}',
        ...{ authorName: 'ann', authorEmail: 'ann@fumehood.invalid', published: null },
        ...{ files: 2, addedLines: 2, deletedLines: 0 },
      },
    ]);
  });

  it('has no changeset where nothing has changed, and for a spec without a template', () => {
    expect(deriveChangesets(spec(), 'ann', result({ diff: Buffer.alloc(0) }))).toEqual([]);
    expect(deriveChangesets(parseBatchSpec('name: x'), 'ann', result())).toEqual([]);
  });

  it('makes a changeset of each group, and of the rest, with their own publication', () => {
    const grouped = spec(
      {
        transformChanges: {
          group: [
            { directory: 'docs', branch: 'docs' },
            { directory: 'web', branch: 'no', repository: 'acme/other' },
          ],
        },
      },
      { published: [{ '*@docs': true }] },
    );
    const made = deriveChangesets(grouped, 'ann', result());
    expect(made.map(({ headRef, published, diff }) => [headRef, published, diff.toString()])).toEqual([
      ['refs/heads/tidy/web', null, added('web/a')],
      ['refs/heads/docs', true, added('docs/b')],
    ]);
    const all = deriveChangesets(grouped, 'ann', result({ diff: Buffer.from(added('docs/b')) }));
    expect(all.map(({ headRef }) => headRef)).toEqual(['refs/heads/docs']);
  });

  it('makes two changesets of a batch spec with an output, a group and patterns of what is published', () => {
    const grp = parseBatchSpec(`name: grp
on: [{repository: github.com/acme/api}]
steps:
  - run: printf '{"n":3}'
    container: alpine:3
    outputs: {cfg: {value: "\${{ step.stdout }}", format: json}}
changesetTemplate:
  title: T \${{ repository.name }} \${{ outputs.cfg.n }}
  body: B \${{ batch_change_link }}
  branch: grp
  commit: {message: "m \${{ join steps.modified_files \\" \\" }}", author: {name: Ann, email: ann@example.com}}
  published: [{"*": draft}, {"github.com/acme/*@grp-go": true}]
transformChanges:
  group: [{directory: go, branch: grp-go}]
`);
    const modified = (name: string) =>
      `diff --git ${name} ${name}\nindex 1111111..2222222 100644\n--- ${name}\n+++ ${name}\n@@ -1 +1 @@\n-a\n+b\n`;
    const gone = 'diff --git old.txt old.txt\ndeleted file mode 100644\nindex 1111111..0000000\n';
    const [readme, go, gopher] = [modified('README.md'), modified('go/x.go'), added('gopher/y.go')];
    const made = deriveChangesets(
      grp,
      'bob',
      result({
        ...{ repository: 'github.com/acme/api', path: '', outputs: { cfg: { n: 3 } } },
        changes: {
          modified: ['README.md', 'go/x.go'],
          added: ['gopher/y.go'],
          deleted: ['old.txt'],
          renamed: [],
        },
        diff: Buffer.from(readme + go + gopher + gone),
      }),
    );
    const common = {
      ...{
        title: 'T github.com/acme/api 3',
        body: 'B ${{ batch_change_link }}',
        message: 'm README.md go/x.go',
      },
      ...{ authorName: 'Ann', authorEmail: 'ann@example.com' },
    };
    expect(made).toMatchObject([
      { ...common, headRef: 'refs/heads/grp', published: 'draft' },
      { ...common, headRef: 'refs/heads/grp-go', published: true },
    ]);
    expect(made.map(({ diff }) => diff.toString())).toEqual([readme + gopher + gone, go]);
  });

  it.each([
    ['main', 'changeset_branch_invalid'],
    ['a b', 'changeset_branch_invalid'],
    ['x/../y', 'changeset_branch_invalid'],
    ['${{ previous_step.stdout }}', 'template_invalid'],
  ])('refuses the branch %j', (branch, code) => {
    expect(() => deriveChangesets(spec({}, { branch }), 'ann', result())).toThrow(
      expect.objectContaining({ code }) as Error,
    );
  });

  it('makes forks on code hosts alone', () => {
    const forked = spec({}, { fork: true });
    expect(() => deriveChangesets(forked, 'ann', result())).toThrow(
      expect.objectContaining({ code: 'changeset_fork_unsupported' }) as Error,
    );
    expect(deriveChangesets(forked, 'ann', result({ isHosted: true }))).toMatchObject([{ fork: true }]);
  });

  it('refuses a diff that may not be in a commit', () => {
    const diff = Buffer.from(added('.git/hooks/post-checkout'));
    expect(() => deriveChangesets(spec(), 'ann', result({ diff }))).toThrow(
      expect.objectContaining({ code: 'diff_invalid' }) as Error,
    );
  });
});
