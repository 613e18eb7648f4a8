import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type GitServer, startGitServer } from '../../packages/git/src/testing/git-server.ts';
import { scipDocument, scipIndex } from '../../packages/instance/src/testing/scip.ts';
import { long } from '../long.ts';
import { seededRandom } from '../random.ts';
import { Stack } from '../stack.ts';
import { retry } from './retry.ts';
import { kill } from './targets.ts';

/** Processes are killed while the instance takes in an index, which replaces an earlier one of the same commit. */
const kills = long ? 30 : 4;
const documents = 1_500;
const seed = Number(process.env.FUMEHOOD_SEED ?? Date.now() % 1_000_000);
const victims = ['instance', 'PostgreSQL', 'a backend of PostgreSQL'];
const repository = '127.0.0.1';

let stack: Stack;
let remote: GitServer;
let commit: string;
beforeAll(async () => {
  stack = await Stack.make();
  remote = await startGitServer();
  commit = remote.commit({ 'f0.ts': 'x\n' });
  for (const command of [['up'], ['repos', 'add', remote.url]])
    expect((await stack.fumehood(command)).code, stack.logs()).toBe(0);
});
afterAll(async () => {
  await stack.stop();
  remote.stop();
});

/**
 * Returns an index in which everything says which version it is: the first document refers to what the last one defines in the line of this
 * number, and each document defines symbols with this number.
 */
function indexOf(version: number): Buffer {
  const last = documents - 1;
  const content = (n: number) =>
    Array.from({ length: 40 }, (_, line) => `s m p 1 f${n}/v${version}x${line}.`);
  const padding = Array.from({ length: version }, (_, line) => `s m p 1 pad${line}.`);
  return scipIndex([
    scipDocument('f0.ts', ['s m p 1 end.'], 0),
    ...Array.from({ length: documents - 2 }, (_, n) => scipDocument(`f${n + 1}.ts`, content(n + 1))),
    scipDocument(`f${last}.ts`, [...padding, 's m p 1 end.']),
  ]);
}

/** Sends an index as a person does; resolves with the status, or with null when the connection broke. */
async function upload(version: number): Promise<number | null> {
  const { url } = JSON.parse(readFileSync(join(stack.state, 'run/instance.json'), 'utf8')) as { url: string };
  const token = readFileSync(join(stack.state, 'run/token'), 'utf8').trim();
  const query = new URLSearchParams({ repository, commit, indexerName: 'scip' });
  try {
    const answer = await fetch(`${url}/.api/scip/upload?${query.toString()}`, {
      method: 'POST',
      headers: { authorization: `token ${token}`, 'content-type': 'application/x-protobuf+scip' },
      body: gzipSync(indexOf(version)),
    });
    await answer.text();
    return answer.status;
  } catch {
    return null;
  }
}

/** Returns the versions that the answers of three questions are of. */
async function answered(): Promise<number[]> {
  const { code } = stack.client();
  const definition = await code.definition({ repository, path: 'f0.ts', line: 0, character: 1 });
  expect(definition.locations.map(({ path }) => path)).toEqual([`f${documents - 1}.ts`]);
  const middle = Math.floor(documents / 2);
  const { symbols } = await code.symbols({ repository, path: `f${middle}.ts` });
  expect(symbols).toHaveLength(40);
  return [
    definition.locations[0]?.line ?? -1,
    ...symbols.map(({ name }) => Number(/^v(\d+)x/.exec(name)?.[1])),
  ];
}

test(
  'while an index is taken in, kill -9 of the instance or PostgreSQL leaves the earlier index or the whole new one',
  async () => {
    console.log(`${kills} kills, FUMEHOOD_SEED=${seed}`);
    const random = seededRandom(seed);
    const begun = performance.now();
    expect(await upload(1)).toBe(202);
    const duration = performance.now() - begun;
    let seen = 1;
    let broken = 0;
    for (let version = 2; version < kills + 2; version += 1) {
      const sending = upload(version);
      await sleep(random.between(0, duration));
      expect(await kill(stack, random.pick(victims))).toBe(true);
      for (let status = await sending; status !== 202; status = await upload(version)) {
        broken += 1;
        for (const one of await retry(answered)) {
          expect([version - 1, version]).toContain(one);
          expect(one).toBeGreaterThanOrEqual(seen);
          seen = one;
        }
        await sleep(200);
      }
      expect(new Set(await retry(answered))).toEqual(new Set([version]));
      seen = version;
    }
    console.log(JSON.stringify({ seed, broken, milliseconds: Math.round(duration) }));
    expect(broken).toBeGreaterThan(0);
  },
  60_000 + kills * 30_000,
);
