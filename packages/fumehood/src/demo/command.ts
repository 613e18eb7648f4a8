import { resolve } from 'node:path';
import { normalize } from 'node:path/posix';
import { usage } from '../errors.ts';
import { bringUp, type UpDeps } from '../up/up.ts';
import { runDemo } from './demo.ts';
import type { Report } from './report.ts';
import { openRepository } from './repository.ts';

const ownRepository = resolve(import.meta.dirname, '../../../..');
/** Small enough for an emulated processor: the whole job takes less than 90 s. */
const ownRoot = 'packages/base';

/** `fumehood demo`: what is wrong with the arguments is said before anything is made or started. */
export async function demoCommand(
  makeDeps: () => UpDeps,
  options: { readonly repo?: string; readonly root?: string; readonly commit: string },
  note: (line: string) => void,
): Promise<Report> {
  const root = relativeRoot(options.root ?? (options.repo === undefined ? ownRoot : ''));
  const repository = await openRepository(options.repo ?? ownRepository, options.commit, root);
  const deps = makeDeps();
  const client = await bringUp(deps);
  const report = await runDemo({
    client,
    state: deps.state,
    repository,
    root,
    note,
    output: (bytes) => void process.stderr.write(bytes),
  });
  note('the instance and the executor go on running; `npx fumehood down` stops them');
  return report;
}

function relativeRoot(text: string): string {
  const root = normalize(text === '' ? '.' : text).replace(/\/$/, '');
  if (root.startsWith('/') || root === '..' || root.startsWith('../'))
    throw usage(`--root ${text} leads out of the repository`, 'Give it as a path from its top.');
  return root === '.' ? '' : root;
}
