import type { Step } from '@fumehood/batch-spec';
import type { WorkspaceRecord } from '@fumehood/protocol';
import { variablesOf } from '../batches/execution/next-step.ts';
import { readOutput, readPhases, type WorkspacePhase } from '../batches/workspace-log.ts';
import { readShownDiff, readWorkspace, stepDiffDigest } from '../batches/workspaces.ts';
import { diffStatOf } from './diff-stat.ts';
import { once } from './once.ts';
import { type Page, pageInfo, pageOf } from './pages.ts';
import type { QueryContext, SchemaPart } from './part.ts';

/** What workspaces do, by the fields of upstream. */
export const workspaceStepsPart: SchemaPart = {
  types: `
    "Anything that JSON has."
    scalar JSONValue
    type BatchSpecWorkspaceStages {
      setup: [ExecutionLogEntry!]!
      "The steps."
      srcExec: [ExecutionLogEntry!]!
      teardown: [ExecutionLogEntry!]!
    }
    type ExecutionLogEntry {
      key: String!
      command: [String!]!
      startTime: String!
      "Null: it runs."
      exitCode: Int
      durationMilliseconds: Int
      "The first 64 KiB of what it has written to stdout, and then those of stderr."
      out: String!
    }
    type BatchSpecWorkspaceStep {
      "From 1."
      number: Int!
      "As the batch spec has it."
      run: String!
      container: String!
      ifCondition: String
      environment: [BatchSpecWorkspaceEnvironmentVariable!]!
      skipped: Boolean!
      cachedResultFound: Boolean!
      startedAt: String
      finishedAt: String
      "Null: it did not run here, or has not ended."
      exitCode: Int
      "Lines that begin with the name of their stream: those of stdout, of at most 1 MiB, and then those of stderr. A long one is cut."
      outputLines(first: Int = 500, after: String): BatchSpecWorkspaceStepOutputLineConnection!
      "Null: it has no result."
      outputVariables: [BatchSpecWorkspaceOutputVariable!]
      diffStat: DiffStat
      "All changes up to its end. Null: it has no result, or the diff has more than 1 MiB."
      diff: PreviewRepositoryComparison
    }
    type PreviewRepositoryComparison { fileDiffs: FileDiffConnection! }
    "Without prefixes."
    type FileDiffConnection { rawDiff: String! }
    type BatchSpecWorkspaceStepOutputLineConnection {
      "Of all pages."
      totalCount: Int!
      nodes: [String!]!
      pageInfo: PageInfo!
    }
    "As the batch spec has it. Null: the value comes from outside, and is not shown."
    type BatchSpecWorkspaceEnvironmentVariable { name: String!, value: String }
    type BatchSpecWorkspaceOutputVariable { name: String!, value: JSONValue }
  `,
  root: {},
};

/** Output of a phase, and of a step for its lines, that is read. */
const outBytes = 65_536;
const linesBytes = 2 ** 20;
/** Characters of a line that are shown. */
const lineMax = 10_000;
/** Most lines of a page. */
const linesMax = 1_000;

/** Makes the fields with what the job of a workspace has done. `definitions`: the steps of its batch spec. */
export function workOf({ id, jobId, steps }: WorkspaceRecord, definitions: () => readonly Step[]) {
  const detail = once(({ deps: { db }, person, inTurn }: QueryContext) =>
    inTurn(() => readWorkspace(db, person, id)),
  );
  const phases = once(async ({ deps: { db }, inTurn }: QueryContext) =>
    jobId === null ? [] : await inTurn(() => readPhases(db, jobId)),
  );
  const output = async ({ deps: { db }, inTurn }: QueryContext, phase: WorkspacePhase, bytes: number) =>
    jobId === null ? { stdout: '', stderr: '' } : await inTurn(() => readOutput(db, jobId, phase, bytes));
  const phaseNode = ({ durationMs, ...phase }: WorkspacePhase) => ({
    ...{ ...phase, durationMilliseconds: durationMs },
    async out(_: unknown, context: QueryContext) {
      const { stdout, stderr } = await output(context, { ...phase, durationMs }, outBytes);
      return counted(context, stdout + stderr);
    },
  });
  const nodes = steps.map(({ step, state, startedAt, finishedAt, stat }) => {
    const definition = () => definitions()[step];
    const phaseOf = async (context: QueryContext) =>
      (await phases(context)).find(({ key }) => key === `step.docker.step.${step}`) ?? null;
    const resultOf = async (context: QueryContext) =>
      stat === null ? null : ((await detail(context)).steps.find((one) => one.step === step) ?? null);
    const lines = once(async (context: QueryContext) => {
      const phase = await phaseOf(context);
      const written = (await resultOf(context)) ?? (phase && (await output(context, phase, linesBytes)));
      return written === null
        ? []
        : linesOf(counted(context, written.stdout), counted(context, written.stderr));
    });
    return {
      ...{ number: step + 1, startedAt, finishedAt, diffStat: diffStatOf(stat) },
      ...{ skipped: state === 'skipped', cachedResultFound: state === 'cached' },
      run: (_: unknown, context: QueryContext) => counted(context, definition()?.run ?? ''),
      container: (_: unknown, context: QueryContext) => counted(context, definition()?.container ?? ''),
      ifCondition: (_: unknown, context: QueryContext) =>
        counted(context, String(definition()?.if ?? '')) || null,
      environment: (_: unknown, context: QueryContext) =>
        variablesOf(definition()?.env).map(([name, value]) => ({
          name: counted(context, name),
          value: value === null ? null : counted(context, value),
        })),
      async exitCode(_: unknown, context: QueryContext) {
        return (await phaseOf(context))?.exitCode ?? null;
      },
      async outputLines(page: Page, context: QueryContext) {
        const all = await lines(context);
        const { limit, after } = pageOf(page, linesMax);
        const next = after + limit < all.length ? after + limit : null;
        const shown = all.slice(after, after + limit).map((line) => counted(context, line));
        return { totalCount: all.length, nodes: shown, pageInfo: pageInfo(next) };
      },
      async diff(_: unknown, context: QueryContext) {
        const { db, blobs } = context.deps;
        const rawDiff = await context.inTurn(async () =>
          readShownDiff(blobs, await stepDiffDigest(db, id, step)),
        );
        return rawDiff === null ? null : { fileDiffs: { rawDiff: counted(context, rawDiff) } };
      },
      async outputVariables(_: unknown, context: QueryContext) {
        const result = await resultOf(context);
        const names = Object.keys(definition()?.outputs ?? {});
        counted(context, JSON.stringify(result?.outputs ?? {}));
        return result && names.map((name) => ({ name, value: result.outputs[name] ?? null }));
      },
    };
  });
  return {
    async stages(_: unknown, context: QueryContext) {
      if (jobId === null) return null;
      const all = await phases(context);
      const those = (kind: string) => all.filter(({ key }) => key.startsWith(`${kind}.`)).map(phaseNode);
      return { setup: those('setup'), srcExec: those('step'), teardown: those('teardown') };
    },
    steps: nodes,
    step: ({ index }: { readonly index: number }) => nodes.find((node) => node.number === index) ?? null,
  };
}

/** Counts a text for what the request gets. Errors: `invalid_request`. */
function counted(context: QueryContext, text: string): string {
  context.takeOutput(text.length);
  return text;
}

/** Returns what a step has written as lines, each with the name of its stream. */
function linesOf(stdout: string, stderr: string): string[] {
  return Object.entries({ stdout, stderr }).flatMap(([stream, text]) => {
    const lines = text.split('\n');
    if (lines.at(-1) === '') lines.pop();
    return lines.map((line) => `${stream}: ${line.slice(0, lineMax)}`);
  });
}
