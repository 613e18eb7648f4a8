import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod';
import { type GitServer, startGitServer } from '../../packages/git/src/testing/git-server.ts';
import { long } from '../long.ts';
import { seededRandom } from '../random.ts';
import { Stack } from '../stack.ts';
import { expectShownIsPushed } from './pushed.ts';
import { retry } from './retry.ts';
import { kill } from './targets.ts';

/** Processes are killed while the instance pushes the branches of a batch change, which a second batch spec then changes. */
const branches = long ? 40 : 10;
const kills = long ? 30 : 5;
const seed = Number(process.env.FUMEHOOD_SEED ?? Date.now() % 1_000_000);
const victims = ['instance', 'PostgreSQL', 'a backend of PostgreSQL'];
const repository = '127.0.0.1';

let stack: Stack;
let remote: GitServer;
let base: string;
beforeAll(async () => {
  stack = await Stack.make();
  remote = await startGitServer();
  base = remote.commit({ file: 'x\n' });
  for (const command of [['up'], ['repos', 'add', remote.url]])
    expect((await stack.fumehood(command)).code, stack.logs()).toBe(0);
  await retry(async () => {
    const found = await stack.client().repositories.list();
    expect(found.map(({ commit }) => commit)).toEqual([base]);
  });
});
afterAll(async () => {
  await stack.stop();
  remote.stop();
});

/** Sends a mutation as upstream's client does, and returns the id of what it has made. */
async function mutate(field: string, query: string, variables: object): Promise<string> {
  const { url } = JSON.parse(readFileSync(join(stack.state, 'run/instance.json'), 'utf8')) as { url: string };
  const token = readFileSync(join(stack.state, 'run/token'), 'utf8').trim();
  const answer = await fetch(`${url}/.api/graphql`, {
    method: 'POST',
    headers: { authorization: `token ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ query, variables }),
  });
  const text = await answer.text();
  const { data } = z
    .object({ data: z.record(z.string(), z.object({ id: z.string() })) })
    .parse(JSON.parse(text));
  return z.string().parse(data[field]?.id, { error: () => text });
}

const idOf = (type: string, key: string) => Buffer.from(`${type}:${key}`).toString('base64');

/** Makes a batch spec whose changesets each add a file with this line, and applies it. Returns the id of the batch change. */
async function apply(line: string): Promise<string> {
  const changesetSpecs: string[] = [];
  for (let n = 0; n < branches; n += 1) {
    const changesetSpec = JSON.stringify({
      ...{ baseRepository: idOf('Repository', repository), headRepository: idOf('Repository', repository) },
      ...{
        baseRef: 'refs/heads/main',
        baseRev: base,
        headRef: `refs/heads/fix-${n}`,
        title: 'Fix',
        body: '',
      },
      ...{ published: true },
      commits: [{ message: `Fix ${n}`, diff: diffAdding(`new-${n}`, line) }],
    });
    const query = 'mutation M($spec: String!) { createChangesetSpec(changesetSpec: $spec) { id } }';
    changesetSpecs.push(await mutate('createChangesetSpec', query, { spec: changesetSpec }));
  }
  const query =
    'mutation M($namespace: ID!, $spec: String!, $all: [ID!]!) { createBatchSpec(namespace: $namespace, batchSpec: $spec, changesetSpecs: $all) { id } }';
  const spec = await mutate('createBatchSpec', query, {
    ...{ namespace: idOf('User', 'admin'), spec: 'name: fix\n', all: changesetSpecs },
  });
  const { id } = await stack
    .client()
    .batches.apply(Buffer.from(spec, 'base64').toString().split(':')[1] ?? '');
  return id;
}

const diffAdding = (name: string, line: string) =>
  `diff --git ${name} ${name}\nnew file mode 100644\nindex 0000000..2222222\n--- /dev/null\n+++ ${name}\n@@ -0,0 +1 @@\n+${line}\n`;

/** Returns the branches of the remote. */
const pushed = () => remote.git('for-each-ref', '--format=%(refname:short)', 'refs/heads/fix-*').split('\n');

test(
  'while branches are pushed, kill -9 of the instance or PostgreSQL doubles no changeset, and none is shown as pushed that is not',
  async () => {
    console.log(`${kills} kills, FUMEHOOD_SEED=${seed}`);
    const random = seededRandom(seed);
    for (const line of ['first', 'second']) {
      const id = await retry(() => apply(line));
      for (let n = 0; n < kills; n += 1) {
        await sleep(random.between(200, 2_000));
        await kill(stack, random.pick(victims));
        const changesets = await retry(() => stack.client().batches.changesets(id));
        expect(changesets).toHaveLength(branches);
        expectShownIsPushed(changesets, () => remote);
      }
      await retry(async () => {
        const changesets = await stack.client().batches.changesets(id);
        expect(changesets.map(({ state, failure }) => failure ?? state)).toEqual(
          Array(branches).fill('pushed'),
        );
      }, 1_000);
      expect(pushed()).toHaveLength(branches);
      for (let n = 0; n < branches; n += 1) {
        expect(remote.git('show', `fix-${n}:new-${n}`)).toBe(line);
        expect(remote.git('rev-list', '--count', `main..fix-${n}`)).toBe('1');
      }
    }
    remote.git('fsck', '--strict');
  },
  120_000 + kills * 40_000,
);
