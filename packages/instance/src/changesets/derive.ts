import {
  type BatchSpec,
  type Changes,
  type ChangesetContext,
  outputsFrom,
  renderChangesetText,
} from '@fumehood/batch-spec';
import { type FileDiff, isRefName, readDiff, splitDiff } from '@fumehood/git';
import type { DiffStat, Publication } from '@fumehood/protocol';
import { changesetBranchInvalid, changesetForkUnsupported } from './errors.ts';
import { publicationIn } from './publication.ts';

/** What the last step of a workspace has left. */
export interface WorkspaceResult {
  readonly repository: string;
  /** A full name. */
  readonly branch: string;
  readonly path: string;
  readonly fileMatches: readonly string[];
  readonly changes: Changes;
  readonly outputs: Readonly<Record<string, unknown>>;
  /** Whether its repository is on a code host. */
  readonly isHosted: boolean;
  readonly diff: Uint8Array;
}

/** A changeset that follows from the result of a workspace. */
export interface DerivedChangeset {
  /** A full name. */
  readonly headRef: string;
  readonly title: string;
  readonly body: string;
  readonly message: string;
  readonly authorName: string;
  readonly authorEmail: string;
  readonly published: Publication | null;
  readonly fork: boolean;
  readonly diff: Uint8Array;
  readonly files: number;
  readonly addedLines: number;
  readonly deletedLines: number;
}

/**
 * Returns the changesets of a workspace: one, or with `transformChanges` one for each of its groups and one for the rest. There is none for what
 * has no changes. `creator`: the author of the commits, if the template names none. Errors: `template_invalid`, `diff_invalid`,
 * `diff_too_big`, `changeset_branch_invalid`, `changeset_fork_unsupported`.
 */
export function deriveChangesets(
  spec: BatchSpec,
  creator: string,
  result: WorkspaceResult,
): DerivedChangeset[] {
  const template = spec.changesetTemplate;
  if (!template) return [];
  const { fork = false } = template;
  if (fork && !result.isHosted) throw changesetForkUnsupported(result.repository);
  const context: ChangesetContext = {
    repository: {
      name: result.repository,
      branch: shortName(result.branch),
      searchResultPaths: result.fileMatches,
    },
    batchChange: { name: spec.name, description: spec.description ?? '' },
    outputs: outputsFrom(result.outputs, spec.steps ?? []),
    path: result.path,
    changes: result.changes,
  };
  const render = (text: string) => renderChangesetText(text, context);
  const common = {
    title: render(template.title),
    body: render(template.body ?? ''),
    message: render(template.commit.message),
    ...authorOf(template.commit.author, creator, render),
  };
  const files = readDiff(result.diff);
  const groups = (spec.transformChanges?.group ?? []).filter(
    ({ repository }) => repository === undefined || repository === result.repository,
  );
  return [...splitDiff(result.diff, files, groups)]
    .filter(([, diff]) => diff.length > 0)
    .map(([group, diff]) => {
      const branch = render(group ?? template.branch);
      const headRef = `refs/heads/${branch}`;
      if (!isRefName(headRef) || headRef === result.branch)
        throw changesetBranchInvalid(branch, result.repository);
      const published = publicationIn(template.published, result.repository, branch);
      return { ...common, headRef, published, fork, diff, ...statOf(readDiff(diff)) };
    });
}

/** Returns the name of a branch from its full name. */
export const shortName = (ref: string): string => ref.replace(/^refs\/heads\//, '');

/** Returns how many files a diff changes, and how many lines it adds and deletes. */
export function statOf(files: readonly FileDiff[]): DiffStat {
  const sum = (count: (file: FileDiff) => number) => files.reduce((all, file) => all + count(file), 0);
  return {
    files: files.length,
    addedLines: sum((file) => file.addedLines),
    deletedLines: sum((file) => file.deletedLines),
  };
}

function authorOf(
  author: { readonly name: string; readonly email: string } | undefined,
  creator: string,
  render: (text: string) => string,
) {
  if (!author) return defaultAuthor(creator);
  return { authorName: render(author.name), authorEmail: render(author.email) };
}

/** The author of the commits of a user who has named none. The address is none: users of an instance need not have one. */
export const defaultAuthor = (creator: string) => ({
  authorName: creator,
  authorEmail: `${creator}@fumehood.invalid`,
});
