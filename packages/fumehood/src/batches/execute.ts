import { counted } from '@fumehood/base';
import { type Client, type ExecutionView, followExecution, readSpecFile, sendMounts } from '@fumehood/client';
import type { BatchSpecRecord, WorkspaceRecord } from '@fumehood/protocol';
import { type BatchJobOptions, batchJobSettings } from '../cli/batch-options.ts';
import { note } from '../cli/print.ts';
import { interruptedCode, watchInterrupts } from '../run/interrupt.ts';
import { specNotCompleted, specNotNamed } from './errors.ts';
import { lineView, terminalView } from './views.ts';

/** What a batch spec is made of, as options. */
export interface SpecOptions extends BatchJobOptions {
  readonly file?: string;
  readonly namespace?: string;
  readonly allowIgnored?: boolean;
  readonly allowUnsupported?: boolean;
  /** `--no-cache`: false. */
  readonly cache: boolean;
}

/** Sends the batch spec of a file with what its steps mount, and has it executed. Errors: those of `readSpecFile`, `namespace_not_found`. */
export async function executeFile(
  client: Client,
  file: string,
  { namespace, allowIgnored, allowUnsupported, cache, ...options }: SpecOptions,
): Promise<BatchSpecRecord> {
  const { text, mounts } = await readSpecFile(file, process.stdin);
  const made = await client.batches.createSpec({
    text,
    ...(namespace !== undefined && { namespace }),
    allowIgnored: allowIgnored ?? false,
    allowUnsupported: allowUnsupported ?? false,
    noCache: !cache,
    options: batchJobSettings(options),
    execute: mounts.length === 0,
  });
  if (mounts.length === 0) return made;
  await sendMounts(client, made, mounts);
  return await client.batches.execute(made.id, {});
}

/**
 * Follows the execution of a batch spec, and says on stderr what goes on. Returns its last record; null: the user has stopped looking, and the
 * execution goes on.
 */
export async function follow(client: Client, id: string): Promise<BatchSpecRecord | null> {
  const interrupts = watchInterrupts(() => {});
  const view = sayingWhy(client, process.stderr.isTTY ? await terminalView() : lineView());
  try {
    const last = await followExecution(client, id, { view, signal: interrupts.signal });
    if (!interrupts.signal.aborted) return last;
    note(
      `the execution goes on: \`fumehood batches status --follow ${id}\` follows it, \`fumehood batches cancel ${id}\` ends it`,
    );
    process.exitCode = interruptedCode;
    return null;
  } finally {
    interrupts.release();
  }
}

/** Returns a view that also says why the first workspace waits whose job nobody can run now. */
function sayingWhy(client: Pick<Client, 'why'>, view: ExecutionView): ExecutionView {
  let first: WorkspaceRecord | undefined;
  return {
    ...view,
    onWorkspace(workspace) {
      view.onWorkspace(workspace);
      if (workspace.id === first?.id) first = workspace;
      const { state, jobId } = workspace;
      if (first || state !== 'queued' || jobId === null) return;
      first = workspace;
      const say = async () => {
        const { waiting } = await client.why(jobId);
        if (waiting && first === workspace)
          view.onWorkspace({ ...workspace, reason: `${waiting.message}. ${waiting.remedy}` });
      };
      // The job may be of another user, or over.
      void say().catch(() => {});
    },
  };
}

/**
 * Returns the id of the batch spec that the arguments name, once it is executed; of a file, it is sent and executed first. Null: the user
 * has stopped looking. Errors: `usage`, `batch_spec_not_completed`, those of `executeFile`.
 */
export async function completedSpec(
  client: Client,
  id: string | undefined,
  options: SpecOptions,
): Promise<string | null> {
  if (id !== undefined) {
    const { state, workspaces } = await client.batches.spec(id);
    if (state === 'failed' && workspaces.failed > 0)
      note(
        `${counted(workspaces.failed, 'workspace')} failed, without changesets now: applying this closes those from before; \`fumehood batches retry ${id}\` runs what failed again`,
      );
    return id;
  }
  if (options.file === undefined) throw specNotNamed();
  const made = await executeFile(client, options.file, options);
  const last = await follow(client, made.id);
  if (last !== null && last.state !== 'completed') throw specNotCompleted(last);
  return last?.id ?? null;
}
