import type { Clock } from '@fumehood/base';
import type { Client } from '../client.ts';
import type { BatchSpecRecord, BatchSpecState, WorkspaceRecord } from '@fumehood/protocol';

/** Pause between two looks at a batch spec, milliseconds. */
const pauseMs = 1_000;

/** What is told of an execution. */
export interface ExecutionView {
  /** Called for each workspace whose state or step has changed, and once for each at the beginning. */
  onWorkspace(workspace: WorkspaceRecord): void;
  /** Called at the end, whatever it was. */
  end(): void | Promise<void>;
}

const ended: readonly BatchSpecState[] = ['completed', 'failed', 'canceled'];

/** Whether nothing of a batch spec is going on any more. */
function hasBatchSpecEnded({ state, resolution }: BatchSpecRecord): boolean {
  return ended.includes(state) || resolution === 'failed';
}

/** Returns all workspaces of a batch spec. */
export async function allWorkspaces(
  { batches }: Pick<Client, 'batches'>,
  spec: string,
): Promise<WorkspaceRecord[]> {
  const all: WorkspaceRecord[] = [];
  let after: number | null = null;
  do {
    const page = await batches.workspaces(spec, after);
    all.push(...page.workspaces);
    after = page.next;
  } while (after !== null);
  return all;
}

/** How an execution is followed. */
interface Following {
  readonly view: ExecutionView;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Whether nothing that is waited for is going on any more; by default, whether the execution has ended. */
  readonly until?: (spec: BatchSpecRecord) => boolean;
}

/**
 * Follows the execution of a batch spec until it has ended, or the signal is aborted; returns its last record. It asks for all workspaces
 * each time, as the instance has no order of their changes.
 */
export async function followExecution(
  client: Pick<Client, 'batches'>,
  id: string,
  { view, clock, signal, until = hasBatchSpecEnded }: Following,
): Promise<BatchSpecRecord> {
  const told = new Map<string, string>();
  try {
    for (;;) {
      // The record first: when it has ended, the workspaces that are read after it have ended, too.
      const spec = await client.batches.spec(id);
      for (const workspace of await allWorkspaces(client, id)) {
        const facts = JSON.stringify([workspace.state, workspace.steps]);
        if (told.get(workspace.id) === facts) continue;
        told.set(workspace.id, facts);
        view.onWorkspace(workspace);
      }
      if (until(spec) || signal.aborted) return spec;
      await clock.sleep(pauseMs, signal).catch(() => {});
    }
  } finally {
    await view.end();
  }
}
