import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Person } from '../auth/people.ts';
import { startNext } from '../batches/execution/start.ts';
import { type ChangesetBench, clientSpec, personNamed, startChangesetBench } from '../changesets/testing.ts';
import { idOf } from './ids.ts';
import { ask as askOf, refusal } from './testing/ask.ts';

/** What upstream's clients change of batch specs and batch changes, which are Ann's. Nothing else moves them. */
let bench: ChangesetBench;
let ann: Person;
let bob: Person;
beforeAll(async () => {
  bench = await startChangesetBench();
  const [user] = await bench.run("insert into users (name) values ('ann') returning id");
  const { id } = user as { id: number };
  await bench.run(`with made as (insert into organisations (name) values ('acme') returning id)
    insert into organisation_members (organisation_id, user_id) select id, ${id} from made`);
  ann = { ...personNamed('ann'), userId: id };
  bob = personNamed('bob');
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
});
beforeEach(() => bench.clear());

const ask = (person: Person, query: string, variables?: Record<string, unknown>) =>
  askOf({ db: bench.db, blobs: bench.blobs }, person, query, variables);

const mine = idOf('User', 'ann');
const textOf = (run: string) =>
  `name: hello\nsteps: [{ run: "${run}", container: "alpine:3" }]\nchangesetTemplate: { title: t, branch: b, commit: { message: m } }\n`;

const input = async (field: string, variables: object, person = ann) => {
  const declared =
    field === 'replaceBatchSpecInput'
      ? ['$previousSpec: ID!', 'previousSpec: $previousSpec']
      : ['$namespace: ID!, $batchChange: ID', 'namespace: $namespace, batchChange: $batchChange'];
  const query = `mutation M($batchSpec: String!, $execute: Boolean!, ${declared[0]}) {
    ${field}(batchSpec: $batchSpec, execute: $execute, ${declared[1]}) { id originalInput state }
  }`;
  const answer = await ask(person, query, { execute: false, ...variables });
  return { ...answer, id: (answer.data as Record<string, { id: string }> | null)?.[field]?.id ?? '' };
};
const made = async (variables: object = {}) =>
  (await input('createBatchSpecFromRaw', { batchSpec: textOf('true'), namespace: mine, ...variables })).id;

/** Gives the newest batch spec workspaces with these states. Returns their ids. */
async function addWorkspaces(...states: string[]): Promise<string[]> {
  await bench.run("update batch_specs set resolution = 'completed'");
  const rows = await bench.run(`
    insert into batch_workspaces (spec_id, position, repository, branch, commit, path, only_fetch_workspace, file_matches,
      ignored, unsupported, skipped_steps, step_count, state)
    select (select max(id) from batch_specs), n, 'acme/' || n, 'refs/heads/main', repeat('0', 40), '', false, '{}', false, false,
      '{}', 1, state
    from unnest('{${states.join()}}'::text[]) with ordinality as given (state, n) returning public_id as id
  `);
  await bench.run(
    "insert into batch_workspace_steps (workspace_id, step, state) select id, 0, 'failed' from batch_workspaces on conflict do nothing",
  );
  return rows.map((row) => idOf('VisibleBatchSpecWorkspace', (row as { id: string }).id));
}

describe('a batch spec', () => {
  test('is replaced: it keeps its id and its files, and its workspaces are found again', async () => {
    const id = await made();
    await addWorkspaces('completed', 'failed');
    await bench.run(
      "insert into batch_files (spec_id, path, digest, bytes, modified_at) select id, 'f', 'd', 1, now() from batch_specs",
    );
    await bench.run(
      "update batch_specs set executed_at = now(), built_at = now(), claim = gen_random_uuid(), claimed_until = now() + interval '1 hour'",
    );
    const replaced = await input('replaceBatchSpecInput', { previousSpec: id, batchSpec: textOf('false') });
    expect(replaced.data).toEqual({
      replaceBatchSpecInput: { id, originalInput: textOf('false'), state: 'PENDING' },
    });
    const rows =
      await bench.run(`select resolution, executed_at, built_at, claim, (select count(*) from batch_workspaces) as workspaces,
      (select count(*) from batch_files) as files from batch_specs`);
    expect(rows).toEqual([
      { resolution: 'queued', executed_at: null, built_at: null, claim: null, workspaces: 0, files: 1 },
    ]);
  });

  test('is executed as it is sent, if that is asked for', async () => {
    const id = await made({ execute: true });
    await input('replaceBatchSpecInput', { previousSpec: id, batchSpec: textOf('false'), execute: true });
    expect(await bench.run('select executed_at is not null as is from batch_specs')).toEqual([{ is: true }]);
  });

  test('of this name is replaced, or stored if there is none', async () => {
    const upsert = (batchSpec: string, more: object = {}) =>
      input('upsertBatchSpecInput', { batchSpec, namespace: mine, ...more });
    const { id } = await upsert(textOf('true'));
    expect(await upsert(textOf('false'))).toMatchObject({ id });
    const other = await upsert(textOf('true').replace('hello', 'other'));
    expect(other.id).not.toBe(id);
    const { data } = await ask(
      ann,
      `mutation { upsertEmptyBatchChange(namespace: "${mine}", name: "hello") { id } }`,
    );
    const { upsertEmptyBatchChange: change } = data as { upsertEmptyBatchChange: { id: string } };
    const inChange = await upsert(textOf('true'), { batchChange: change.id });
    expect([id, other.id]).not.toContain(inChange.id);
    expect(await upsert(textOf('false'), { batchChange: change.id })).toMatchObject({ id: inChange.id });
    await addWorkspaces('processing');
    expect((await upsert(textOf('true'), { batchChange: change.id })).id).not.toBe(inChange.id);
    expect(await upsert(textOf('true'), { namespace: idOf('User', 'bob') })).toMatchObject(
      refusal('namespace_not_found'),
    );
  });

  test('is deleted', async () => {
    const id = await made();
    await addWorkspaces('failed');
    const query = `mutation { deleteBatchSpec(batchSpec: "${id}") { alwaysNil } }`;
    expect(await ask(ann, query)).toEqual({ data: { deleteBatchSpec: { alwaysNil: null } } });
    expect(await ask(ann, query)).toMatchObject(refusal('batch_spec_not_found'));
  });

  const change = {
    deleted: (id: string, person: Person) =>
      ask(person, `mutation { deleteBatchSpec(batchSpec: "${id}") { alwaysNil } }`),
    replaced: (id: string, person: Person) =>
      input('replaceBatchSpecInput', { previousSpec: id, batchSpec: textOf('false') }, person),
  };
  test.each(['deleted', 'replaced'] as const)(
    'is not %s by others, not while it runs, and not once it is applied',
    async (how) => {
      const id = await made();
      expect(await change[how](id, bob)).toMatchObject(refusal('batch_spec_not_found'));
      await addWorkspaces('failed', 'queued');
      expect(await change[how](id, ann)).toMatchObject(refusal('batch_spec_running'));
      await bench.run("update batch_workspaces set state = 'failed'");
      await bench.run(
        "insert into batch_changes (namespace, name, creator, spec_id) select 'ann', 'x', 'ann', id from batch_specs",
      );
      expect(await change[how](id, ann)).toMatchObject(refusal('batch_spec_applied'));
    },
  );

  test('that a client has run is not replaced, and a broken one replaces nothing', async () => {
    const id = await made();
    expect(await input('replaceBatchSpecInput', { previousSpec: id, batchSpec: 'name: a b' })).toMatchObject(
      refusal('batch_spec_invalid'),
    );
    await bench.run("update batch_specs set origin = 'client'");
    expect(await change.replaced(id, ann)).toMatchObject(refusal('batch_spec_of_client'));
  });

  test('is not applied by itself', async () => {
    const id = await made();
    const query = `mutation { executeBatchSpec(batchSpec: "${id}", autoApply: true) { id } }`;
    expect(await ask(ann, query)).toMatchObject(refusal('invalid_request'));
  });
});

describe('some workspaces', () => {
  const enqueue = (ids: string[], person = ann) =>
    ask(
      person,
      'mutation M($ids: [ID!]!) { enqueueBatchSpecWorkspaceExecution(batchSpecWorkspaces: $ids) { alwaysNil } }',
      { ids },
    );
  const waiting = async () =>
    (await bench.run('select position from batch_workspaces where held order by 1')).flatMap(Object.values);

  test('run before the others, which wait for the execution of the batch spec', async () => {
    const id = await made();
    const [first = '', second = ''] = await addWorkspaces('pending', 'pending', 'pending');
    expect(await enqueue([first], bob)).toMatchObject(refusal('batch_workspace_not_found'));
    expect(await waiting()).toEqual([]);
    expect(await enqueue([first])).toEqual({
      data: { enqueueBatchSpecWorkspaceExecution: { alwaysNil: null } },
    });
    expect(await waiting()).toEqual([2, 3]);
    await enqueue([second]);
    expect(await waiting()).toEqual([3]);
    // Those that run fail here, because the instance does not have the commit.
    const start = () => startNext({ ...bench, provideCommit: async () => false });
    expect([await start(), await start(), await start()]).toEqual([true, true, false]);
    const states = await bench.run('select state from batch_workspaces order by position');
    expect(states.flatMap(Object.values)).toEqual(['failed', 'failed', 'pending']);
    const execute = `mutation { executeBatchSpec(batchSpec: "${id}") { id } }`;
    expect(await ask(ann, execute)).toEqual({ data: { executeBatchSpec: { id } } });
    expect(await waiting()).toEqual([]);
    expect(await ask(ann, execute)).toMatchObject(refusal('batch_spec_executed'));
  });

  test('are canceled and run again, but not by others, not while they run, and not once they are applied', async () => {
    await made();
    const ids = await addWorkspaces('pending', 'pending');
    const change = async (field: string, person = ann) => {
      const query = `mutation M($ids: [ID!]!) { ${field}BatchSpecWorkspaceExecution(batchSpecWorkspaces: $ids) { alwaysNil } }`;
      const { errors } = await ask(person, query, { ids });
      const states = await bench.run('select state from batch_workspaces order by position');
      return errors ? { errors } : states.flatMap(Object.values);
    };
    expect(await change('cancel', bob)).toMatchObject(refusal('batch_workspace_not_found'));
    expect(await change('retry')).toMatchObject(refusal('batch_workspace_running'));
    expect(await change('cancel')).toEqual(['canceled', 'canceled']);
    expect(await change('retry', bob)).toMatchObject(refusal('batch_workspace_not_found'));
    expect(await change('retry')).toEqual(['pending', 'pending']);
    await bench.run("update batch_workspaces set state = 'failed'");
    await bench.run(
      "insert into batch_changes (namespace, name, creator, spec_id) select 'ann', 'x', 'ann', id from batch_specs",
    );
    expect(await change('retry')).toMatchObject(refusal('batch_spec_applied'));
  });

  test('are not looked up by the ten thousand', async () => {
    expect(await enqueue(Array<string>(10_000).fill('x'))).toMatchObject(refusal('invalid_request'));
  });
});

describe('a batch change', () => {
  const empty = async () => {
    const { data } = await ask(
      ann,
      `mutation { createEmptyBatchChange(namespace: "${mine}", name: "tidy") { id } }`,
    );
    return (data as { createEmptyBatchChange: { id: string } }).createEmptyBatchChange.id;
  };
  const move = (id: string, place: object, person = ann) =>
    ask(
      person,
      `mutation M($id: ID!, $newName: String, $newNamespace: ID) {
      moveBatchChange(batchChange: $id, newName: $newName, newNamespace: $newNamespace) { id name namespace { url } }
    }`,
      { id, ...place },
    );

  test('is moved', async () => {
    const id = await empty();
    const moved = { id, name: 'neat', namespace: { url: '/users/ann' } };
    expect(await move(id, { newName: 'neat' })).toEqual({ data: { moveBatchChange: moved } });
    expect(await move(id, { newNamespace: idOf('Org', 'acme') })).toEqual({
      data: { moveBatchChange: { ...moved, namespace: { url: '/organizations/acme' } } },
    });
  });

  test('is not moved by others, to others, to where there is one, or to a name that is none', async () => {
    const id = await empty();
    await bench.run("insert into batch_changes (namespace, name, creator) values ('ann', 'other', 'ann')");
    for (const [place, code, person] of [
      [{ newName: 'neat' }, 'batch_change_not_found', bob],
      [{ newNamespace: idOf('User', 'bob') }, 'namespace_not_found', ann],
      [{ newName: 'other' }, 'batch_change_name_taken', ann],
      [{ newName: 'a b' }, 'invalid_request', ann],
    ] as const)
      expect(await move(id, place, person)).toMatchObject(refusal(code));
  });

  test('is deleted by those who may see it', async () => {
    const query = `mutation { deleteBatchChange(batchChange: "${await empty()}") { alwaysNil } }`;
    expect(await ask(bob, query)).toMatchObject(refusal('batch_change_not_found'));
    expect(await ask(ann, query)).toEqual({ data: { deleteBatchChange: { alwaysNil: null } } });
    expect(await ask(ann, query)).toMatchObject(refusal('batch_change_not_found'));
  });
});

test('changeset specs are stored together, all or none', async () => {
  await bench.mirror('acme/api', null);
  const create = (specs: object[]) =>
    ask(
      ann,
      'mutation M($specs: [String!]!) { createChangesetSpecs(changesetSpecs: $specs) { __typename id } }',
      {
        specs: specs.map((one) => JSON.stringify(one)),
      },
    );
  const good = clientSpec(idOf('Repository', 'acme/api'));
  expect(await create([good, {}])).toMatchObject(refusal('changeset_spec_invalid'));
  expect(await bench.run('select from changeset_specs')).toEqual([]);
  const made = { __typename: 'VisibleChangesetSpec', id: expect.any(String) };
  expect(await create([good, good])).toEqual({ data: { createChangesetSpecs: [made, made] } });
});
