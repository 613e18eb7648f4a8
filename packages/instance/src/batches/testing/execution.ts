import type { BatchSpecState } from '@fumehood/protocol';
import { sql } from 'kysely';
import { expect } from 'vitest';
import type { Connection } from '../../config.ts';
import { makeKinds } from '../../kinds/kinds.ts';
import { everyStore } from '../../kinds/testing.ts';
import { forgetLosses, type TestInstance } from '../../testing/instance.ts';
import { type cancelBatchSpec, executeBatchSpec } from '../execution/control.ts';
import { workspaceEnded } from '../execution/ended.ts';
import { createBatchSpec, readBatchSpec } from '../specs.ts';
import { listWorkspaces, readWorkspace } from '../workspaces.ts';
import { type Attempt, leaseAttempt, personOf, startWithMirror } from './scripted.ts';

/** The user whose batch specs are executed. */
export const ann = personOf('ann');

/** An instance that mirrors `acme/api` and `acme/web` and executes batch specs, with an executor that runs nothing. */
export interface ExecutionBench {
  readonly instance: TestInstance;
  /** The commit of both repositories. */
  readonly commit: string;
  readonly control: Parameters<typeof cancelBatchSpec>[0];
  /** Forgets all batch specs, results and jobs. */
  readonly clear: () => Promise<void>;
  /** Makes a batch spec, and returns its public id. */
  readonly create: (text: string, person?: typeof ann) => Promise<string>;
  /** Makes and executes a batch spec, and returns its public id. */
  readonly execute: (text: string, options?: { noCache?: boolean }) => Promise<string>;
  /** Resolves when a batch spec is in a state. */
  readonly until: (publicId: string, state: BatchSpecState) => Promise<void>;
  /** Returns the first workspace of a batch spec. */
  readonly workspaceOf: (publicId: string) => ReturnType<typeof readWorkspace>;
  /** Leases the job of a workspace. */
  readonly attemptAt: (executor?: string) => Promise<Attempt>;
}

/** Starts such an instance. */
export async function startExecution(connection: Connection): Promise<ExecutionBench> {
  const { instance, commit } = await startWithMirror(connection, ['acme/api', 'acme/web']);
  const kinds = makeKinds({ ...everyStore, batches: { ...everyStore.batches, ended: workspaceEnded } });
  const control = { db: instance.db, kinds };
  const create: ExecutionBench['create'] = async (text, person = ann) => {
    const { publicId } = await createBatchSpec({ db: instance.db }, person, {
      ...{ text, namespace: person.name, origin: 'server', noCache: false },
      ...{ allowIgnored: false, allowUnsupported: false },
      ...{ options: { accept: ['vm-emulated'] }, batchChangeId: null },
    });
    return publicId;
  };
  return {
    ...{ instance, commit, control, create },
    async clear() {
      await sql`delete from jobs where state in ('queued', 'errored', 'processing')`.execute(instance.db);
      await sql`delete from batch_specs`.execute(instance.db);
      await sql`delete from batch_step_results`.execute(instance.db);
      await forgetLosses(instance);
    },
    async execute(text, options = {}) {
      const publicId = await create(text);
      await executeBatchSpec(control, ann, publicId, options);
      return publicId;
    },
    async until(publicId, state) {
      const now = async () => (await readBatchSpec(instance.db, ann, publicId)).state;
      await expect.poll(now, { interval: 20, timeout: 20_000 }).toBe(state);
    },
    async workspaceOf(publicId) {
      const page = await listWorkspaces(instance.db, ann, publicId, { state: null, after: 0, limit: 1 });
      return await readWorkspace(instance.db, ann, page.workspaces[0]?.id ?? '');
    },
    async attemptAt(executor) {
      const attempt = await leaseAttempt(instance, executor);
      if (attempt === null) throw new Error('there is no job');
      return attempt;
    },
  };
}

/** Returns a batch spec for these repositories. `body`: its steps. */
export const specOf = (body: string, repositories: readonly string[] = ['acme/api']): string =>
  `name: hello\non: [${repositories.map((name) => `{repository: ${name}}`).join(', ')}]\n${body}\n` +
  'changesetTemplate: {title: t, branch: b, commit: {message: m}}';

/** Returns the files and lines of the changesets of a batch spec. */
export async function changesetsOf({ db }: Pick<TestInstance, 'db'>, publicId: string): Promise<unknown[]> {
  const { rows } = await sql`
    select made.repository, base_ref, head_ref, made.added_lines from changeset_specs made join batch_specs spec on spec.id = made.spec_id
    where spec.public_id = ${publicId} order by made.repository
  `.execute(db);
  return rows;
}
