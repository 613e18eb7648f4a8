import type { WorkspaceRecord, WorkspaceState } from '@fumehood/protocol';
import { note } from '../cli/print.ts';
import { printable } from '../cli/printable.ts';
import type { ExecutionView } from '@fumehood/client';
import { placeOf, progressOf } from './lines.ts';

const goesOn: readonly WorkspaceState[] = ['pending', 'queued', 'processing'];

/** Most workspaces that a terminal shows one below the other. */
const shownMax = 100;

/** Returns a view that writes a line for each step that begins and each workspace that ends. */
export function lineView(): ExecutionView {
  const said = new Map<string, string>();
  return {
    onWorkspace(workspace) {
      const line = `${placeOf(workspace)}: ${progressOf(workspace)}`;
      if (said.get(workspace.id) === line) return;
      said.set(workspace.id, line);
      note(line);
    },
    end: () => {},
  };
}

/** A workspace on the terminal. */
interface Shown {
  show(workspace: WorkspaceRecord): void;
  /** Resolves when the workspace has ended, or nobody follows it any more. */
  readonly ended: Promise<WorkspaceRecord | null>;
  end(workspace: WorkspaceRecord | null): void;
}

/**
 * Returns a view that shows the state of each workspace in a place of its own on the terminal of stderr, up to 100 of them; of more it
 * writes lines.
 */
export async function terminalView(): Promise<ExecutionView> {
  const { Listr, ListrLogger, ProcessOutput } = await import('listr2');
  const logger = new ListrLogger({
    processOutput: new ProcessOutput(process.stderr, process.stderr),
  });
  const shown = new Map<string, Shown>();
  const lines = lineView();
  const rendererOptions = { logger, collapseErrors: false, showErrorMessage: false };
  const list = new Listr<object, 'default', 'default'>([], {
    concurrent: true,
    exitOnError: false,
    registerSignalListeners: false,
    rendererOptions,
    // It looks whether stdout is a terminal, which may be a file here.
    fallbackRenderer: 'default',
    fallbackRendererOptions: rendererOptions,
  });
  let running: Promise<unknown> | null = null;
  const add = (workspace: WorkspaceRecord) => {
    const one = shownOf();
    shown.set(workspace.id, one);
    list.add({
      title: printable(placeOf(workspace)),
      async task(_context, task) {
        one.show = (now) => {
          task.output = printable(progressOf(now));
        };
        one.show(workspace);
        const last = await one.ended;
        // What is said of a task that is skipped takes the place of its title.
        if (last === null) return task.skip(printable(`${placeOf(workspace)}: it goes on`));
        task.title = printable(`${placeOf(last)}: ${progressOf(last)}`);
        if (last.state === 'failed') throw new Error(printable(progressOf(last)));
        if (last.state === 'canceled' || last.state === 'skipped') task.skip(task.title);
      },
    });
    return one;
  };
  return {
    onWorkspace(workspace) {
      const known = shown.get(workspace.id);
      if (!known && shown.size >= shownMax) {
        lines.onWorkspace(workspace);
        return;
      }
      const one = known ?? add(workspace);
      running ??= list.run().catch(() => {});
      one.show(workspace);
      if (!goesOn.includes(workspace.state)) one.end(workspace);
    },
    async end() {
      for (const one of shown.values()) one.end(null);
      await running;
    },
  };
}

function shownOf(): Shown {
  const { promise: ended, resolve: end } = Promise.withResolvers<WorkspaceRecord | null>();
  return { show: () => {}, ended, end };
}
