import type { BatchEvent, BatchSpecRecord, WorkspaceRecord } from '@fumehood/protocol';
import type { Client } from '../client.ts';

/** What is told of an execution. */
export interface ExecutionView {
  /** Called for each workspace whose state or step has changed, and once for each at the beginning. */
  onWorkspace(workspace: WorkspaceRecord): void;
  /** Called at the end, whatever it was. */
  end(): void | Promise<void>;
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
  readonly signal?: AbortSignal;
  /** Whether nothing that is waited for is going on any more, though the batch spec has not ended. */
  readonly until?: (spec: Extract<BatchEvent, { type: 'spec' }>) => boolean;
}

/** Follows the execution of a batch spec until it has ended, or the signal is aborted; returns its record then. */
export async function followExecution(
  { batches }: Pick<Client, 'batches'>,
  id: string,
  { view, signal, until = () => false }: Following,
): Promise<BatchSpecRecord> {
  const told = new Map<string, string>();
  try {
    for await (const event of batches.events(id, signal)) {
      if (event.type === 'spec') {
        if (until(event)) break;
        continue;
      }
      const { workspace } = event;
      const facts = JSON.stringify([workspace.state, workspace.steps]);
      if (told.get(workspace.id) === facts) continue;
      told.set(workspace.id, facts);
      view.onWorkspace(workspace);
    }
  } catch (error) {
    if (!signal?.aborted) throw error;
  } finally {
    await view.end();
  }
  return await batches.spec(id);
}
