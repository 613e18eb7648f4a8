import { counted } from '@fumehood/base';
import type {
  BatchChangeRecord,
  BatchSpecRecord,
  ChangesetRecord,
  DiffStat,
  Preview,
  WorkspaceRecord,
  WorkspaceStep,
} from '@fumehood/protocol';
import { table } from '../cli/table.ts';

/** Returns a branch or a tag as people write it. */
const shortRef = (ref: string) => ref.replace(/^refs\/heads\//, '');

/** Returns where a workspace is: its repository, its directory and its branch. */
export function placeOf({ repository, path, branch }: WorkspaceRecord): string {
  return `${repository}${path === '' ? '' : `/${path}`} (${shortRef(branch)})`;
}

/** Returns the last step that has begun in a workspace; undefined: none has. */
const lastStep = ({ steps }: WorkspaceRecord): WorkspaceStep | undefined => steps.at(-1);

/** Says how far a workspace is. */
export function progressOf(workspace: WorkspaceRecord): string {
  const { state, reason, stepCount } = workspace;
  const step = lastStep(workspace);
  if (state === 'processing' && step) return `step ${step.step + 1} of ${stepCount}`;
  if (state === 'completed') return `completed${step?.stat ? `, ${statOf(step.stat)}` : ''}`;
  const where =
    state === 'failed' && step?.state === 'failed' ? ` in step ${step.step + 1} of ${stepCount}` : '';
  return reason === null ? `${state}${where}` : `${state}${where}: ${shortReason(reason)}`;
}

/** Returns why a workspace has failed, without what the step wrote, which `batches logs` has, and without the name by which its job has the step. */
function shortReason(reason: string): string {
  const [first = ''] = reason.split('\n', 1);
  return first.replace(/:$/, '').replace(/^the step step\.\d+ /, 'it ');
}

/** Says what a diff changes: `3 files +5 -2`. */
export function statOf({ files, addedLines, deletedLines }: DiffStat): string {
  if (files === 0) return 'no changes';
  return `${counted(files, 'file')} +${addedLines} -${deletedLines}`;
}

/** Lists counts by their names, without those that are 0: `2 completed, 1 failed`. */
export function countsOf(counts: Readonly<Partial<Record<string, number>>>): string {
  const there = Object.entries(counts).filter(([, count]) => (count ?? 0) > 0);
  return there.map(([name, count]) => `${count} ${name}`).join(', ') || 'none';
}

/** Lays out a batch spec with its workspaces, and what to do next. */
export function specLines(spec: BatchSpecRecord, workspaces: readonly WorkspaceRecord[]): string[] {
  const { id, namespace, name, state, resolutionFailure, buildFailure } = spec;
  const rows = workspaces.map((workspace) => [
    workspace.id,
    placeOf(workspace),
    workspace.jobId === null ? '-' : String(workspace.jobId),
    progressOf(workspace),
  ]);
  return [
    `batch spec ${id} for ${namespace}/${name}: ${state}`,
    `workspaces: ${countsOf(spec.workspaces)}`,
    ...(resolutionFailure === null ? [] : [`its workspaces were not found: ${resolutionFailure}`]),
    ...(buildFailure === null ? [] : [`no changesets can be made of its results: ${buildFailure}`]),
    ...(rows.length === 0 ? [] : ['', ...table([['WORKSPACE', 'WHERE', 'JOB', 'STATE'], ...rows])]),
    ...nextOf(spec),
  ];
}

function nextOf({ id, state, executedAt }: BatchSpecRecord): string[] {
  if (state === 'completed') return [`\`fumehood batches preview ${id}\` shows what would be pushed`];
  if (state === 'failed' || state === 'canceled')
    return [
      `\`fumehood batches logs ${id}\` shows what the steps wrote, \`fumehood batches retry ${id}\` runs them again`,
    ];
  return executedAt === null ? [`\`fumehood batches execute ${id}\` runs it`] : [];
}

/** Lays out what applying a batch spec would do. */
export function previewLines(preview: Preview, id: string): string[] {
  const { namespace, name, batchChange, changesets, stats } = preview;
  const rows = changesets.map((one) => [
    one.operations.join(', '),
    one.repository,
    one.headRef === null ? `#${one.externalId}` : shortRef(one.headRef),
    one.stat ? statOf(one.stat) : '-',
    one.title ?? '-',
  ]);
  const undecided = changesets.filter(
    ({ changeset, changesetSpec, headRef, published }) =>
      changeset === null && changesetSpec !== null && headRef !== null && published === null,
  );
  return [
    `${namespace}/${name}, ${batchChange === null ? 'a new batch change' : `batch change ${batchChange}`}: ${countsOf(stats)}`,
    ...(rows.length === 0
      ? []
      : ['', ...table([['WOULD', 'REPOSITORY', 'BRANCH', 'CHANGES', 'TITLE'], ...rows]), '']),
    ...(undecided.length === 0
      ? []
      : [
          `of ${counted(undecided.length, 'changeset')} the batch spec does not say whether they are published: \`fumehood batches apply ${id} --publish\` publishes them`,
        ]),
    `\`fumehood batches apply ${id}\` does it; nothing has happened yet`,
  ];
}

/** Lays out a batch change with its changesets. */
export function batchChangeLines(
  batchChange: BatchChangeRecord,
  changesets: readonly ChangesetRecord[],
): string[] {
  const { id, namespace, name, state, description, spec, wavesStopped } = batchChange;
  const rows = changesets.map((one) => [
    one.id,
    `${one.state}${one.archivedAt === null ? '' : ' (archived)'}${one.detachedAt === null ? '' : ' (detached)'}`,
    one.repository,
    one.headRef === null ? '-' : shortRef(one.headRef),
    one.review ?? '-',
    one.checks ?? '-',
    one.failure ?? one.externalUrl ?? one.commit?.slice(0, 12) ?? '-',
  ]);
  return [
    `batch change ${namespace}/${name}: ${state}`,
    `id: ${id}`,
    ...(spec === null ? [] : [`batch spec: ${spec}`]),
    ...(description === '' ? [] : [description]),
    `changesets: ${countsOf(batchChange.changesets)}`,
    ...(wavesStopped === null ? [] : [`the next wave waits: ${wavesStopped}`]),
    ...(rows.length === 0
      ? []
      : [
          '',
          ...table([['CHANGESET', 'STATE', 'REPOSITORY', 'BRANCH', 'REVIEW', 'CHECKS', 'WHERE'], ...rows]),
        ]),
  ];
}
